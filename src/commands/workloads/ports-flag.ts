/** `--ports 443:3000,auto:8080`: host port to workload port. Ranges are spawn-order.ts's. */
import { UsageError } from "../reading/usage-error.js";

/** Throws UsageError. */
export function portsIn(flags: readonly string[]): { ports: Record<string, number>; dynamicPorts: number[] } {
  const ports: Record<string, number> = {};
  const dynamicPorts: number[] = [];
  for (const pair of flags.flatMap((flag) => flag.split(","))) {
    const [, host, workload] = /^(auto|-?\d{1,10}):(-?\d{1,10})$/.exec(pair.trim()) ?? [];
    if (host === undefined || workload === undefined) throw new UsageError(`--ports ${JSON.stringify(pair)}: write HOST:WORKLOAD, such as 443:3000, or auto:3000`);
    if (host in ports) throw new UsageError(`--ports has the host port ${host} twice`);
    if (host === "auto") dynamicPorts.push(Number(workload));
    else ports[host] = Number(workload);
  }
  return { ports, dynamicPorts };
}
