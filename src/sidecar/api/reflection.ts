/**
 * gRPC reflection for grpcurl and its like: @grpc/reflection over descriptors made from proto/. Nothing here is ever
 * used to serialise a call. protobufjs' descriptors (8.8, and those of @grpc/proto-loader, which are older) lack what
 * grpcurl insists on, imports and the names of map entries, so both are put right first.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { ReflectionService } from "@grpc/reflection";
import { protoPath as healthProto } from "grpc-health-check";
import protobuf from "protobufjs";
import descriptor, { type IDescriptorProto, type IFieldDescriptorProto, type IFileDescriptorProto } from "protobufjs/ext/descriptor.js";

const CONTRACT = "cluster.proto";
/** protobufjs makes one file of each package and names it after the package. */
const IMPORTS: Readonly<Record<string, readonly string[]>> = { "cluster_services_api.proto": ["google_protobuf.proto"] };

/** Throws where the package has lost its proto folder. */
export function reflectionService(): ReflectionService {
  const root = new protobuf.Root().loadSync([join(protoFolder(import.meta.dirname), CONTRACT), healthProto], { keepCase: true });
  const { file: files } = (root.resolveAll() as protobuf.Root & { toDescriptor(syntax: string): { file: IFileDescriptorProto[] } }).toDescriptor("proto3");
  const fileDescriptorProtos = files.map((file) => Buffer.from(descriptor.FileDescriptorProto.encode(completed(file)).finish()));
  // ReflectionService reads the files of any one definition; the rest of a definition is for servers and clients.
  return new ReflectionService({ contract: { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos } });
}

/** Upward from this file: it runs from dist/ in the package and from build/ in tests, at different depths. */
function protoFolder(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, "proto");
    if (existsSync(join(candidate, CONTRACT))) return candidate;
    if (dirname(folder) === folder) throw new Error(`no proto/${CONTRACT} above ${from}: the package is incomplete`);
  }
}

function completed(file: IFileDescriptorProto): IFileDescriptorProto {
  for (const message of file.messageType ?? []) nameMapEntries(message);
  return { ...file, dependency: [...(IMPORTS[file.name ?? ""] ?? [])] };
}

/** descriptor.proto: the entry type of `map<…> my_field` is the nested message `MyFieldEntry`. */
function nameMapEntries(message: IDescriptorProto): void {
  for (const nested of message.nestedType ?? []) {
    nameMapEntries(nested);
    if (nested.options?.mapEntry !== true) continue;
    const field = (message.field ?? []).find((f: IFieldDescriptorProto) => f.typeName === nested.name);
    nested.name = `${camelCase(field?.name ?? "")}Entry`;
    if (field !== undefined) field.typeName = nested.name;
  }
}

function camelCase(name: string): string {
  return name.replace(/(?:^|_)([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}
