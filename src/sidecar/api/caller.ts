/**
 * Who asks for a change (Spawn, Stop). Being on this host is no proof: every user of it, and every page in a browser on
 * it, reaches loopback. So one of three is asked for, on every port: a client certificate of mTLS, the bearer token of
 * the state folder, or a token that Nomad itself knows. No message and no log holds what was presented.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Logger } from "pino";
import type { NomadTokenCheck } from "../nomad-token.js";

export interface Caller {
  by: "certificate" | "bearer" | "nomad";
  /** For logs and records, no secret: the certificate's first name, `bearer`, or the token's accessor. */
  name: string;
  /** The caller's own Nomad token, whatever else it showed: what runs for it runs with this. */
  nomadToken?: string;
}

/** What came with a call. */
export interface Credentials {
  /** Names of the verified client certificate; empty without one. */
  identities: readonly string[];
  /** `Authorization: Bearer …` */
  authorization?: string | undefined;
  /** `X-Nomad-Token` */
  nomadToken?: string | undefined;
}

export type CallerFault =
  | "unauthenticated" // nothing was shown, or something that is not known
  | "denied" // known, and not allowed
  | "unavailable"; // it cannot be told now

export class CallerError extends Error {
  override readonly name = "CallerError";
  constructor(
    readonly code: CallerFault,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export interface CallerGuardOptions {
  apiToken: string;
  nomadToken: NomadTokenCheck;
  /** Names of certificates that may ask for changes; empty: every certificate of the client CA. */
  allowed: readonly string[];
  logger: Logger;
}

const HOW = "show the bearer token of the sidecar's state folder (api.token), a Nomad token (X-Nomad-Token), or a client certificate over mTLS";

export class CallerGuard {
  constructor(private readonly options: CallerGuardOptions) {}

  /** Rejects with CallerError. What is shown and wrong is refused even where something else would do. */
  async admit(shown: Credentials, signal?: AbortSignal): Promise<Caller> {
    try {
      const caller = await this.#judge(shown, signal);
      this.options.logger.debug({ by: caller.by, caller: caller.name }, "caller admitted");
      return caller;
    } catch (error) {
      this.options.logger.debug({ err: error }, "caller refused");
      throw error;
    }
  }

  async #judge({ identities, authorization, nomadToken }: Credentials, signal?: AbortSignal): Promise<Caller> {
    const own = nomadToken === undefined || nomadToken === "" ? {} : { nomadToken };
    if (authorization !== undefined) {
      if (!this.#isBearer(authorization)) throw new CallerError("unauthenticated", `the bearer token is not this sidecar's: ${HOW}`);
      return { by: "bearer", name: "bearer", ...own };
    }
    const { allowed } = this.options;
    const named = allowed.length === 0 ? identities[0] : identities.find((name) => allowed.includes(name));
    if (named !== undefined) return { by: "certificate", name: named, ...own };
    if (own.nomadToken !== undefined) return this.#byNomad(own.nomadToken, signal);
    if (identities.length > 0) throw new CallerError("denied", `${identities.join(", ")} may not ask for changes: --tls-allow names who may`);
    throw new CallerError("unauthenticated", `who calls? ${HOW}`);
  }

  #isBearer(authorization: string): boolean {
    const [, token = ""] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
    // Digests: of equal length whatever came, which timingSafeEqual asks for.
    return timingSafeEqual(digest(token), digest(this.options.apiToken));
  }

  async #byNomad(nomadToken: string, signal?: AbortSignal): Promise<Caller> {
    let verdict: Awaited<ReturnType<NomadTokenCheck>>;
    try {
      verdict = await this.options.nomadToken(nomadToken, signal);
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new CallerError("unavailable", `Nomad cannot be asked about the caller's token (${text})`, { cause });
    }
    if (verdict.known) return { by: "nomad", name: verdict.accessor, nomadToken };
    const why = verdict.reason === "no-acl" ? "Nomad has no ACLs, so a Nomad token proves nothing" : "Nomad does not know the token";
    throw new CallerError("unauthenticated", `${why}: ${HOW}`);
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
