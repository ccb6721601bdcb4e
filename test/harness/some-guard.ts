/** A guard of Spawn and Stop with one bearer and one Nomad token; who else asks is refused. */
import { pino } from "pino";
import { CallerGuard, type CallerGuardOptions } from "../../src/sidecar/api/caller.js";

export const API_TOKEN = "0123456789abcdef".repeat(4);
export const BEARER = { Authorization: `Bearer ${API_TOKEN}` };
export const NOMAD_TOKEN = "e70491e1-b692-1563-e9dc-7dceab1cc8a5";
export const NOMAD_ACCESSOR = "2b816c81-1a0a-065d-859d-3b9ddb152c24";

export function someGuard(options: Partial<CallerGuardOptions> = {}): CallerGuard {
  return new CallerGuard({
    apiToken: API_TOKEN,
    nomadToken: async (token) => (token === NOMAD_TOKEN ? { known: true, accessor: NOMAD_ACCESSOR } : { known: false, reason: "refused" }),
    allowed: [],
    logger: pino({ level: "silent" }),
    ...options,
  });
}
