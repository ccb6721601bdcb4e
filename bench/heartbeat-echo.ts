/**
 * The empty half of a heartbeat, for network-heartbeats.ts, forked: a gRPC server that answers each statement with as many
 * bytes as a nonce has, and looks at nothing. It says its port.
 */
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { BeaconNetworkDefinition } from "../src/sidecar/api/service-definition.js";

const nonce = Buffer.alloc(40, 7);
const server = new Server();
server.addService({ Heartbeat: BeaconNetworkDefinition.Heartbeat }, {
  Heartbeat: (call: ServerDuplexStream<object, object>) => {
    call.on("data", () => call.write({ nonce }));
    call.once("end", () => call.end());
    call.on("error", () => {}); // who leaves is no news
  },
});
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.send?.(port);
});
process.once("disconnect", () => process.exit());
