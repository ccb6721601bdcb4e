/**
 * The limits on gRPC calls, as an interceptor. It must be the outermost, so that a refused call never reaches its
 * handler. Health checks are outside the limits: whoever fills them must not make the node look dead.
 */
import { Metadata, ServerInterceptingCall, type ServerInterceptor, status } from "@grpc/grpc-js";
import { OVER_LIMIT } from "./api-error.js";
import type { CallLimits } from "./call-limits.js";
import { identitiesOf } from "./certificate-identity.js";
import { clientOf, type Connections } from "./connections.js";

type Call = Parameters<ServerInterceptor>[1];
const HEALTH_CHECK = "/grpc.health.v1.Health/Check";

export function limitCalls(limits: CallLimits, connections: Connections): ServerInterceptor {
  return (method, call) => {
    const ticket = method.path === HEALTH_CHECK ? { end: () => {} } : limits.begin(nameOf(call));
    if (ticket === undefined) return refused(call);
    const peer = call.getPeer();
    const isUnary = !method.requestStream && !method.responseStream;
    // A stream has no end of its own, and is not work: it may make room.
    const clientsTurn = () => (isUnary ? setTimeout(() => connections.cut(peer), limits.budget.callMs) : undefined);
    let timer = clientsTurn();
    let turn: () => void = () => {};
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveHalfClose: (proceed) => {
            clearTimeout(timer);
            if (isUnary) turn = once(connections.working(peer));
            proceed();
          },
          // grpc-js says so at the end of each call, when its last byte went to the client or the stream closed.
          onCancel: () => {
            clearTimeout(timer);
            turn();
            ticket.end();
          },
        }),
      sendStatus: (sent, next) => {
        turn();
        clearTimeout(timer);
        timer = clientsTurn();
        next(sent);
      },
    });
  };
}

function nameOf(call: Call): string {
  const certificate = call.getAuthContext().sslPeerCertificate;
  const [identity] = certificate === undefined ? [] : identitiesOf(certificate);
  return identity === undefined ? clientOf(call.getConnectionInfo().remoteAddress ?? "unknown") : `certificate ${identity}`;
}

function refused(call: Call): ServerInterceptingCall {
  const metadata = new Metadata();
  metadata.set(OVER_LIMIT, "1");
  return new ServerInterceptingCall(call, {
    start: () => call.sendStatus({ code: status.RESOURCE_EXHAUSTED, details: "too many calls of this client, or in all: try again in a second", metadata }),
  });
}

function once(act: () => void): () => void {
  let done = false;
  return () => {
    if (!done) act();
    done = true;
  };
}
