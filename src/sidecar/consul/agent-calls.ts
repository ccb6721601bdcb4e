/** Calls that the local agent answers by itself: who it is, whom it sees, its own services and checks. */
import {
  type AgentSelf,
  type ConsulApi,
  ConsulError,
  type LocalService,
  type Member,
  type MemberStatus,
  type ServiceRegistration,
} from "../consul-api.js";
import { pathOf } from "./path.js";
import { type Fields, fields, json, list, name, port, protocolError, string, stringMap, strings, whole } from "./shape.js";
import { type Answer, type CallSpec, LIST_ANSWER_BYTES, SMALL_ANSWER_BYTES, type Transport } from "./transport.js";

type AgentCalls = Pick<ConsulApi, "self" | "members" | "registerService" | "deregisterService" | "localService" | "passTtl">;

export function agentCalls(transport: Transport, onSkipped: (operation: string, count: number) => void): AgentCalls {
  const get = (operation: string, path: string, needs: string, maxBytes = SMALL_ANSWER_BYTES): CallSpec => {
    return { operation, method: "GET", path, needs, maxBytes };
  };
  const put = (operation: string, path: string, needs: string, body?: unknown): CallSpec => {
    const spec = { operation, method: "PUT", path, needs, maxBytes: SMALL_ANSWER_BYTES } as const;
    return body === undefined ? spec : { ...spec, body: { json: body } };
  };
  return {
    async self(options) {
      const operation = "agent.self";
      return whole(operation, await transport.call(get(operation, "/agent/self", "agent:read"), options), agentSelf);
    },
    async members(options) {
      const operation = "agent.members";
      const answer = await transport.call(get(operation, "/agent/members", "node:read", LIST_ANSWER_BYTES), options);
      return list(operation, json(operation, answer), member, (count) => onSkipped(operation, count));
    },
    async registerService(service, options) {
      const operation = "agent.service.register";
      const spec = put(operation, "/agent/service/register", `service:write on "${service.name}"`, registration(service));
      nothing(operation, await transport.call(spec, options));
    },
    async deregisterService(serviceId, options) {
      const operation = "agent.service.deregister";
      const path = pathOf(operation, "/agent/service/deregister", serviceId);
      const spec = put(operation, path, `service:write of service ID "${serviceId}"`);
      const answer = await transport.call(spec, options).catch(absent);
      if (answer !== null) nothing(operation, answer);
    },
    async localService(serviceId, options) {
      const operation = "agent.service";
      const path = pathOf(operation, "/agent/service", serviceId);
      const spec = get(operation, path, `service:read of service ID "${serviceId}"`);
      const answer = await transport.call(spec, options).catch(absent);
      return answer === null ? null : whole(operation, answer, localService);
    },
    async passTtl(checkId, output, options) {
      const operation = "agent.check.update";
      const path = pathOf(operation, "/agent/check/update", checkId);
      const body = { Status: "passing", Output: output };
      const spec = put(operation, path, `service:write of check ID "${checkId}"`, body);
      nothing(operation, await transport.call(spec, options));
    },
  };
}

function absent(error: unknown): null {
  if (error instanceof ConsulError && error.code === "not-found") return null;
  throw error;
}

/** These calls answer 200 with no body; a page would mean that somebody else answered. */
function nothing(operation: string, { text }: Answer): void {
  if (!/^\s*(true|null)?\s*$/.test(text)) throw protocolError(operation, "a body where Consul sends none");
}

function registration(service: ServiceRegistration): unknown {
  return {
    ID: service.id,
    Name: service.name,
    Address: service.address,
    Port: service.port,
    Tags: service.tags,
    Meta: service.meta,
    Check: {
      CheckID: service.check.id,
      Name: service.check.name,
      TTL: `${service.check.ttlMs}ms`,
      DeregisterCriticalServiceAfter: `${service.check.deregisterAfterMs}ms`,
    },
  };
}

function agentSelf(raw: unknown): AgentSelf | undefined {
  const self = fields(raw);
  const config = fields(self?.["Config"]);
  const lan = fields(fields(self?.["Stats"])?.["serf_lan"]);
  const nodeName = name(config?.["NodeName"]);
  const nodeId = name(config?.["NodeID"]);
  const datacenter = name(config?.["Datacenter"]);
  const version = name(config?.["Version"]);
  const isServer = config?.["Server"];
  const address = name(fields(self?.["Member"])?.["Addr"]);
  const intent = count(lan, "intent_queue");
  const event = count(lan, "event_queue");
  const query = count(lan, "query_queue");
  const known = count(lan, "members");
  const left = count(lan, "left");
  if (nodeName === undefined || nodeId === undefined || datacenter === undefined || version === undefined) return undefined;
  if (address === undefined || typeof isServer !== "boolean") return undefined;
  if (intent === undefined || event === undefined || query === undefined) return undefined;
  if (known === undefined || left === undefined) return undefined;
  // Serf remembers members that left for a day; those that failed it still tries to reach.
  const lanMembers = Math.max(1, known - left);
  return { nodeName, nodeId, datacenter, address, version, isServer, serfQueues: { intent, event, query }, lanMembers };
}

/** Stats are numbers written as text. */
function count(stats: Fields | undefined, key: string): number | undefined {
  const text = stats?.[key];
  return typeof text === "string" && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Serf's numbers (serf.go, MemberStatus). */
const MEMBER_STATUS: readonly MemberStatus[] = ["none", "alive", "leaving", "left", "failed"];

function member(raw: unknown): Member | undefined {
  const entry = fields(raw);
  const memberName = name(entry?.["Name"]);
  const address = name(entry?.["Addr"]);
  const number = entry?.["Status"];
  const status = typeof number === "number" ? MEMBER_STATUS[number] : undefined;
  if (memberName === undefined || address === undefined || status === undefined) return undefined;
  return { name: memberName, address, status };
}

function localService(raw: unknown): LocalService | undefined {
  const entry = fields(raw);
  const id = name(entry?.["ID"]);
  const serviceName = name(entry?.["Service"]);
  const address = string(entry?.["Address"]);
  const servicePort = port(entry?.["Port"]);
  const tags = strings(entry?.["Tags"]);
  const meta = stringMap(entry?.["Meta"]);
  if (id === undefined || serviceName === undefined || address === undefined) return undefined;
  if (servicePort === undefined || tags === undefined || meta === undefined) return undefined;
  return { id, name: serviceName, address, port: servicePort, tags, meta };
}
