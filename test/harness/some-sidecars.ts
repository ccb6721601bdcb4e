/** Sidecars beside some agents of a cluster that was started without: a node that Consul knows and IBRL does not yet. */
import { join } from "node:path";
import { type LocalCluster, withoutClusterVariables } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { SidecarProcess } from "../../src/dev/sidecar-process.js";

/** Resolves when all are ready. They become their nodes' own: the cluster's stop ends them, before `folder` is removed. */
export async function startSidecars(cluster: LocalCluster, indexes: readonly number[], folder: RunFolder, args: readonly string[] = []): Promise<void> {
  await Promise.all(
    indexes.map(async (index) => {
      const node = cluster.nodes[index];
      if (node === undefined) throw new RangeError(`the cluster has no node ${String(index)}`);
      const { name: nodeName, address, ports, consul, sidecarEnv } = node;
      node.sidecar = new SidecarProcess({
        nodeName,
        address,
        ports,
        consulAddr: consul.httpAddr,
        nomadAddr: `${address}:${String(ports.nomadHttp)}`,
        args,
        env: sidecarEnv,
        folder: join(folder.path, nodeName),
        host: { run: folder, env: withoutClusterVariables(process.env) },
      });
      await node.sidecar.start();
      await node.sidecar.waitReady();
    }),
  );
}
