/** Reads of the whole cluster: instances of a service with their checks, nodes, coordinates. */
import type {
  BlockingOptions,
  CatalogNode,
  CheckStatus,
  ConsulApi,
  NodeCoordinate,
  Read,
  ServiceInstance,
} from "../consul-api.js";
import { pathOf } from "./path.js";
import { read, readSpec } from "./reads.js";
import { type Decode, fields, finite, json, list, name, port, string, stringMap, strings } from "./shape.js";
import { LIST_ANSWER_BYTES, type Transport } from "./transport.js";

type CatalogCalls = Pick<ConsulApi, "serviceInstances" | "nodes" | "coordinates">;

export function catalogCalls(transport: Transport, onSkipped: (operation: string, count: number) => void): CatalogCalls {
  async function readList<T>(
    operation: string,
    path: string,
    needs: string,
    decode: Decode<T>,
    options: BlockingOptions = {},
  ): Promise<Read<T[]>> {
    const call = { operation, method: "GET", path, needs, maxBytes: LIST_ANSWER_BYTES } as const;
    const answer = await transport.call({ ...call, ...readSpec(options, transport.datacenter) }, options);
    const values = list(operation, json(operation, answer), decode, (count) => onSkipped(operation, count));
    return read(operation, answer, values);
  }
  return {
    async serviceInstances(service, options) {
      const operation = "health.service";
      const path = pathOf(operation, "/health/service", service);
      return readList(operation, path, `service:read on "${service}"`, instance, options);
    },
    async nodes(options) {
      return readList("catalog.nodes", "/catalog/nodes", "node:read", catalogNode, options);
    },
    async coordinates(options) {
      const answer = await readList("coordinate.nodes", "/coordinate/nodes", "node:read", coordinateIn, options);
      // An Enterprise agent also lists its other network segments, between which coordinates mean nothing.
      const lan = answer.value.filter(({ segment }) => segment === "");
      return { ...answer, value: lan.map(({ coordinate }) => coordinate) };
    },
  };
}

function catalogNode(raw: unknown): CatalogNode | undefined {
  const entry = fields(raw);
  const node = name(entry?.["Node"]);
  // Empty for a node that was put into the catalog by hand.
  const nodeId = string(entry?.["ID"]);
  const datacenter = name(entry?.["Datacenter"]);
  const address = string(entry?.["Address"]);
  if (node === undefined || nodeId === undefined || datacenter === undefined || address === undefined) return undefined;
  return { node, nodeId, datacenter, address };
}

function instance(raw: unknown): ServiceInstance | undefined {
  const entry = fields(raw);
  const node = catalogNode(entry?.["Node"]);
  const service = fields(entry?.["Service"]);
  const serviceId = name(service?.["ID"]);
  const address = string(service?.["Address"]);
  const servicePort = port(service?.["Port"]);
  const tags = strings(service?.["Tags"]);
  const meta = stringMap(service?.["Meta"]);
  const checks = checkList(entry?.["Checks"]);
  if (node === undefined || serviceId === undefined || address === undefined) return undefined;
  if (servicePort === undefined || tags === undefined || meta === undefined || checks === undefined) return undefined;
  const { address: nodeAddress, ...nodeFields } = node;
  return { ...nodeFields, nodeAddress, serviceId, address, port: servicePort, tags, meta, checks };
}

/** One check that is not understood spoils its instance: without it the node could look healthy. */
function checkList(raw: unknown): ServiceInstance["checks"] | undefined {
  if (!Array.isArray(raw)) return undefined;
  const checks = raw.map(check).filter((value) => value !== undefined);
  return checks.length === raw.length ? checks : undefined;
}

const STATUSES: readonly string[] = ["passing", "warning", "critical"] satisfies CheckStatus[];

/** Maintenance is a critical check of a reserved ID (consul api/health.go, AggregatedStatus). */
function check(raw: unknown): { id: string; status: CheckStatus } | undefined {
  const entry = fields(raw);
  const id = name(entry?.["CheckID"]);
  const status = entry?.["Status"];
  if (id === undefined || typeof status !== "string" || !STATUSES.includes(status)) return undefined;
  const maintenance = id === "_node_maintenance" || id.startsWith("_service_maintenance:");
  return { id, status: maintenance ? "maintenance" : (status as CheckStatus) };
}

function coordinateIn(raw: unknown): { segment: string; coordinate: NodeCoordinate } | undefined {
  const entry = fields(raw);
  const point = fields(entry?.["Coord"]);
  const node = name(entry?.["Node"]);
  const segment = string(entry?.["Segment"] ?? "");
  const vec = point?.["Vec"];
  const error = finite(point?.["Error"]);
  const adjustment = finite(point?.["Adjustment"]);
  const height = finite(point?.["Height"]);
  if (node === undefined || segment === undefined || !Array.isArray(vec) || vec.length === 0) return undefined;
  const vector = vec.filter((part): part is number => finite(part) !== undefined);
  if (vector.length !== vec.length || error === undefined) return undefined;
  if (adjustment === undefined || height === undefined) return undefined;
  return { segment, coordinate: { node, vector, error, adjustment, height } };
}
