/**
 * Why nothing comes back, where the network says so. The sockets of the prober are not connected and hear no ICMP; on
 * a connected one the system reports it (port unreachable is ECONNREFUSED), so this sends one probe through such a
 * socket and waits.
 */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { CLOCK_ERROR } from "./peer-session.js";
import { familyOf } from "./ip-address.js";
import { ntpFromUnixNs } from "./ntp-time.js";
import type { ProbeTarget } from "./probe-settings.js";
import { encodeSenderPacket } from "./stamp-packet.js";

/** The system's error code; undefined where it has none within the time, or something came back. */
export async function unreachableReason(
  { address, port, key }: Pick<ProbeTarget, "address" | "port" | "key">,
  waitMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const socket = createSocket(familyOf(address) === "ipv6" ? "udp6" : "udp4");
  const timestamp = ntpFromUnixNs(BigInt(Date.now()) * 1_000_000n);
  const packet = encodeSenderPacket({ sequence: 0, timestamp, error: CLOCK_ERROR, ssid: randomInt(1, 65_536) }, key);
  const code = await new Promise<string | undefined>((resolve) => {
    const give = (error?: NodeJS.ErrnoException | null): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", giveUp);
      resolve(error?.code);
    };
    const giveUp = (): void => give();
    const timer = setTimeout(giveUp, waitMs);
    signal.addEventListener("abort", giveUp, { once: true });
    if (signal.aborted) giveUp();
    socket.on("error", give);
    socket.on("message", giveUp);
    socket.on("connect", () => socket.send(packet, (error) => error === null || give(error)));
    socket.connect(port, address);
  });
  await new Promise<void>((resolve) => socket.close(resolve));
  return code;
}
