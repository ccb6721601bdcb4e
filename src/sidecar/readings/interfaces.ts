/**
 * Bandwidth in use for each network interface, from the kernel's own counters: /proc/net/dev, which shows the network
 * namespace of this process. Octets at the interface, so link-layer headers count. Elsewhere than on Linux it is
 * unknown. The file says nothing of an interface that was made anew under its old name, nor of a 32-bit counter that
 * wrapped; both show as a counter that went back, and the interval in which it did has no rate.
 */
import { readFile } from "node:fs/promises";
import type { InterfaceCounters } from "../metrics.js";
import { measured, type Reading, unmeasured } from "./reading.js";

/** Between two reads. */
export interface InterfaceRate {
  name: string;
  receiveBytesPerSecond: number;
  transmitBytesPerSecond: number;
}

const PROC_NET_DEV = "/proc/net/dev";
/** Linux makes it in every namespace, and what passes it uses no bandwidth. */
const LOOPBACK = "lo";
/** In proc(5): octets stand first in each of the two groups of eight. */
const RECEIVED_AT = 0;
const SENT_AT = 8;
const COLUMNS = 16;

/** Lines that are none of an interface are left out. Names may hold anything but a blank and a slash. */
export function parseNetDev(text: string, { loopback = false } = {}): InterfaceCounters[] {
  return text.split("\n").flatMap((line) => {
    // Up to the last colon: `eth0:1` is a name too.
    const [, name, numbers] = /^\s*(\S+):\s*([\d\s]+)$/.exec(line) ?? [];
    const columns = (numbers ?? "").trim().split(/\s+/).map(Number);
    const [receiveBytes, transmitBytes] = [columns[RECEIVED_AT], columns[SENT_AT]];
    if (name === undefined || columns.length < COLUMNS || receiveBytes === undefined || transmitBytes === undefined) return [];
    return name === LOOPBACK && !loopback ? [] : [{ name, receiveBytes, transmitBytes }];
  });
}

/** Never rejects. Without loopback. */
export async function readInterfaces(path = PROC_NET_DEV): Promise<Reading<InterfaceCounters[]>> {
  try {
    return measured(parseNetDev(await readFile(path, "utf8")));
  } catch (error) {
    return unmeasured("interfaces-unreadable", error instanceof Error ? error.message : String(error));
  }
}

export class InterfaceRates {
  #before: { counters: ReadonlyMap<string, InterfaceCounters>; atMs: number } | undefined;

  constructor(
    private readonly clock: { monoMs(): number },
    private readonly counters: () => Promise<Reading<InterfaceCounters[]>> = readInterfaces,
  ) {}

  /** Since the call before; interfaces that are new, or whose counters went back, are not in it. */
  async read(): Promise<Reading<InterfaceRate[]>> {
    const now = await this.counters();
    const atMs = this.clock.monoMs();
    const before = this.#before;
    this.#before = now.value === undefined ? undefined : { counters: new Map(now.value.map((c) => [c.name, c])), atMs };
    if (now.value === undefined) return now;
    if (before === undefined || atMs <= before.atMs) return unmeasured("interfaces-read-once");
    const seconds = (atMs - before.atMs) / 1_000;
    return measured(now.value.flatMap((counters) => rateOf(before.counters.get(counters.name), counters, seconds)));
  }
}

function rateOf(before: InterfaceCounters | undefined, now: InterfaceCounters, seconds: number): InterfaceRate[] {
  if (before === undefined) return [];
  const received = now.receiveBytes - before.receiveBytes;
  const sent = now.transmitBytes - before.transmitBytes;
  if (received < 0 || sent < 0) return [];
  return [{ name: now.name, receiveBytesPerSecond: received / seconds, transmitBytesPerSecond: sent / seconds }];
}
