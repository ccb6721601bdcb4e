/**
 * What to run, from the image reference of the ancestor's request. Without a scheme it is an image of the docker driver;
 * with one, `DRIVER://…`, it names the driver and what that driver runs (docs/workloads.md has the table):
 *
 *   nginx:1.27                                  docker://nginx:1.27          podman://docker.io/library/nginx:1.27
 *   exec:///usr/bin/python3?arg=-m&arg=http.server                           raw_exec:///usr/bin/sleep?arg=60
 *   java:///opt/app.jar?arg=--port&arg=80&jvm=-Xmx128m                       qemu:///images/alpine.qcow2
 *   java:///app.jar?artifact=https://host/app.jar                            (fetched by Nomad into the task's folder)
 */
import { invalid } from "../placement-error.js";

export const DRIVERS = ["docker", "exec", "raw_exec", "java", "podman", "qemu"] as const;
export type Driver = (typeof DRIVERS)[number];

export interface Reference {
  driver: Driver;
  /** An image's name, or a path. */
  target: string;
  args: string[];
  /** Options of the Java machine. */
  jvmArgs: string[];
  /** For Nomad to fetch into the task's `local` folder. */
  artifacts: string[];
}

const IMAGES: ReadonlySet<Driver> = new Set(["docker", "podman"]);
const PARAMETERS: ReadonlySet<string> = new Set(["arg", "args", "jvm", "artifact"]);

/** Throws PlacementError `invalid`. */
export function readReference(imageRef: string): Reference {
  const [, scheme = "docker", rest = imageRef] = /^([a-z][a-z0-9_+.-]*):\/\/(.*)$/.exec(imageRef) ?? [];
  const driver = DRIVERS.find((name) => name === scheme);
  if (driver === undefined) throw invalid("image_ref", `${scheme}:// is no driver; there are ${DRIVERS.map((name) => `${name}://`).join(", ")}, and an image's bare name`);
  const [path = "", ...query] = rest.split("?");
  const parameters = [...new URLSearchParams(query.join("?"))];
  const unknown = parameters.find(([name]) => !PARAMETERS.has(name));
  if (unknown !== undefined) throw invalid("image_ref", `has the parameter ${JSON.stringify(unknown[0])}; there are ${[...PARAMETERS].join(", ")}`);
  const all = (...names: string[]) => parameters.filter(([name]) => names.includes(name)).map(([, value]) => value);
  const artifacts = all("artifact");
  if (artifacts.some((source) => !/^https?:\/\//.test(source))) throw invalid("image_ref", "artifact takes an http or https URL");
  return { driver, target: IMAGES.has(driver) ? imageOf(path) : pathOf(path, artifacts.length > 0), args: all("arg", "args"), jvmArgs: all("jvm"), artifacts };
}

function imageOf(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._:/@-]*$/.test(name)) throw invalid("image_ref", `${JSON.stringify(name)} is no image name`);
  return name;
}

/** A fetched file's path is below the task's `local` folder, where Nomad puts it. */
function pathOf(path: string, isFetched: boolean): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    throw invalid("image_ref", "has a % that is no escape");
  }
  if (!decoded.startsWith("/") || decoded === "/" || decoded.includes("\0") || decoded.split("/").includes("..")) {
    throw invalid("image_ref", "takes an absolute path without .., after three slashes, such as exec:///usr/bin/env");
  }
  return isFetched ? `local${decoded}` : decoded;
}
