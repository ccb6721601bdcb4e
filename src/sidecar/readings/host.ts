/**
 * What the machine itself shows: whether hardware virtualisation can be used and whether a container engine answers.
 * Tried, not guessed from a file's presence: /dev/kvm may be there and closed to us, a socket's file outlives its engine.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { createConnection } from "node:net";

export interface HostPaths {
  kvm: string;
  engineSockets: readonly string[];
}

export interface HostFindings {
  kvm: boolean;
  containerEngine: boolean;
}

/** `runtimeDir` is XDG_RUNTIME_DIR, where a rootless engine listens. */
export function defaultHostPaths(runtimeDir?: string): HostPaths {
  const rootless = runtimeDir === undefined ? [] : [`${runtimeDir}/docker.sock`, `${runtimeDir}/podman/podman.sock`];
  return {
    kvm: "/dev/kvm",
    engineSockets: ["/var/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock", ...rootless],
  };
}

/** Never rejects: what cannot be tried is not there for us. `connectTimeoutMs` bounds each socket. */
export async function readHost(paths: HostPaths, connectTimeoutMs = 500): Promise<HostFindings> {
  const [kvm, ...engines] = await Promise.all([
    opensReadWrite(paths.kvm),
    ...paths.engineSockets.map((path) => accepts(path, connectTimeoutMs)),
  ]);
  return { kvm, containerEngine: engines.includes(true) };
}

async function opensReadWrite(path: string): Promise<boolean> {
  try {
    // NONBLOCK: a FIFO or a dead device in its place must not hold the open, and with it a thread, for ever.
    const file = await open(path, constants.O_RDWR | constants.O_NONBLOCK);
    await file.close();
    return true;
  } catch {
    return false;
  }
}

function accepts(socketPath: string, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path: socketPath });
    const settle = (answer: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => settle(false), timeoutMs);
    socket.once("connect", () => settle(true));
    socket.on("error", () => settle(false));
  });
}
