/** User events: fired through the servers, read from the local agent's ring. */
import { type ConsulApi, ConsulError, type UserEvent } from "../consul-api.js";
import { pathOf } from "./path.js";
import { datacenterQuery, isFiltered, read, readSpec } from "./reads.js";
import { base64, fields, json, list, name, whole } from "./shape.js";
import { SMALL_ANSWER_BYTES, type Transport } from "./transport.js";

type EventCalls = Pick<ConsulApi, "fireEvent" | "events">;

export function eventCalls(transport: Transport, onSkipped: (operation: string, count: number) => void): EventCalls {
  return {
    async fireEvent(eventName, payload, options) {
      const operation = "event.fire";
      const path = pathOf(operation, "/event/fire", eventName);
      // This call is refused with a bare "Permission denied" (agent/event_endpoint.go).
      const needs = `event:write on "${eventName}"`;
      const query = datacenterQuery(transport.datacenter);
      const call = { operation, method: "PUT", path, query, needs, maxBytes: SMALL_ANSWER_BYTES } as const;
      const answer = await transport.call({ ...call, body: { raw: payload } }, options);
      whole(operation, answer, (raw) => name(fields(raw)?.["ID"]));
    },
    async events(eventName, options = {}) {
      const operation = "event.list";
      const needs = `event:read on "${eventName}"`;
      const { query, heldMs } = readSpec(options, null);
      if (eventName !== "") query["name"] = eventName;
      const call = { operation, method: "GET", path: "/event/list", needs, maxBytes: SMALL_ANSWER_BYTES } as const;
      const answer = await transport.call({ ...call, query, heldMs }, options);
      const events = list(operation, json(operation, answer), userEvent, (count) => onSkipped(operation, count));
      // Consul drops what the token may not read without a word; of one name that is all there is.
      if (eventName !== "" && isFiltered(answer.headers)) {
        const fieldsOfError = { permission: needs, address: transport.address };
        throw new ConsulError("permission", operation, `${operation}: the ACL token lacks ${needs}`, fieldsOfError);
      }
      return read(operation, answer, events, true);
    },
  };
}

function userEvent(raw: unknown): UserEvent | undefined {
  const entry = fields(raw);
  const id = name(entry?.["ID"]);
  const eventName = name(entry?.["Name"]);
  const payload = base64(entry?.["Payload"]);
  if (id === undefined || eventName === undefined || payload === undefined) return undefined;
  return { id, name: eventName, payload };
}
