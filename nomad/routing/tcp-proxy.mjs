// A TCP proxy whose upstreams are what `hypercore cluster route --watch` says: new connections go to the first that takes
// them. An example of how to drive one; for nginx or HAProxy write the line into their configuration and reload them.
//
//   node tcp-proxy.mjs 127.0.0.1:9000 web policy.json [other flags of cluster route]
import { spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

const [listen = "", service, policy, ...flags] = process.argv.slice(2);
const [hypercore, ...before] = (process.env.HYPERCORE ?? "hypercore").split(" ");
let upstreams = [];

const route = spawn(hypercore, [...before, "cluster", "route", service, "--policy", policy, "--watch", "--json", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
createInterface({ input: route.stdout }).on("line", (line) => {
  upstreams = JSON.parse(line).instances;
  console.log(`upstreams: ${upstreams.map(({ address, port }) => `${address}:${port}`).join(" ")}`);
});
route.once("close", (code) => process.exit(code ?? 1));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => route.kill());

const [, host, port] = /^(.*):(\d+)$/.exec(listen) ?? [];
createServer((client) => {
  client.on("error", () => client.destroy());
  join(client, upstreams);
}).listen(Number(port), host);

/** To the first that takes the connection; where none does, the client's ends. */
function join(client, [first, ...others]) {
  if (first === undefined) return client.destroy();
  const upstream = connect(first.port, first.address);
  const next = () => join(client, others);
  upstream.once("error", next);
  upstream.once("connect", () => {
    upstream.off("error", next).on("error", () => client.destroy());
    client.once("close", () => upstream.destroy());
    client.pipe(upstream).pipe(client);
  });
}
