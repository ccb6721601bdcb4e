/**
 * The calls that a gRPC server has open, so that a shutdown can end each with UNAVAILABLE: grpc-js itself either
 * waits for a health watcher for ever, or resets its stream without a status.
 */
import { ServerInterceptingCall, type ServerInterceptor, status } from "@grpc/grpc-js";

type Call = Parameters<ServerInterceptor>[1];
type Status = Parameters<Call["sendStatus"]>[0];

export class OpenCalls {
  readonly #open = new Map<Call, { isStream: boolean; settle: (code: number) => void }>();

  /** `onAnswer` hears of each call once, with its method path and status code. */
  constructor(private readonly onAnswer: (path: string, code: number) => void = () => {}) {}

  readonly interceptor: ServerInterceptor = (method, call) => {
    const settle = (code: number) => {
      if (this.#open.delete(call)) this.onAnswer(method.path, code);
    };
    this.#open.set(call, { isStream: method.requestStream || method.responseStream, settle });
    return new ServerInterceptingCall(call, {
      start: (next) => next({ onCancel: () => settle(status.CANCELLED) }),
      sendStatus: (sent, next) => {
        settle(sent.code ?? status.UNKNOWN);
        next(sent);
      },
    });
  };

  /** Ends the open calls, or only the streams, which have no end of their own. */
  end(which: "streams" | "all", why: Status): void {
    for (const [call, { isStream, settle }] of this.#open) {
      if (which === "streams" && !isStream) continue;
      settle(why.code ?? status.UNKNOWN);
      // The call's own sendStatus, below the interceptor: what its handler sends later finds the stream closed.
      call.sendStatus(why);
    }
  }
}
