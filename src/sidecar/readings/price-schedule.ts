/**
 * A price by the time of day, UTC: `00:00-06:00=0.005,18:00-23:00=0.02`, dollars per GB from the first minute up to,
 * and not with, the second. A span may pass midnight (`22:00-04:00`); 24:00 is the end of a day. At all other times
 * the constant price holds. Pure but for the injected clock.
 */
import { type ParsedPrice, parsePricePerGb, type PriceSource } from "./price.js";
import { measured } from "./reading.js";

/** Minutes of the day, 0..1440; `from` below `to`. A span that passes midnight is two of them. */
interface Minutes {
  from: number;
  to: number;
}

interface Span extends Minutes {
  microUsdPerGb: number;
  /** As it was written. */
  text: string;
}

export interface PriceSchedule {
  /** In order of the day; no two share a minute. */
  spans: readonly Span[];
  /** `06:00-18:00`: when the constant holds, in order; empty where the spans cover the day. */
  gaps: readonly string[];
}

export type ParsedSchedule = { schedule: PriceSchedule; problem?: undefined } | { problem: string };

const DAY_MIN = 1_440;
const MINUTE_MS = 60_000;

/** The problem names the span that is wrong, or the two that overlap. */
export function parsePriceSchedule(text: string): ParsedSchedule {
  const spans: Span[] = [];
  for (const item of text.split(",").map((part) => part.trim())) {
    const parsed = parseSpan(item);
    if (typeof parsed === "string") return { problem: parsed };
    spans.push(...parsed);
  }
  spans.sort((a, b) => a.from - b.from);
  for (const [i, span] of spans.entries()) {
    const next = spans[i + 1];
    if (next !== undefined && next.from < span.to) {
      return { problem: `${JSON.stringify(span.text)} and ${JSON.stringify(next.text)} overlap at ${timeOf(next.from)}` };
    }
  }
  return { schedule: { spans, gaps: gapsOf(spans) } };
}

/** `constantMicroUsdPerGb` holds where no span does. */
export function scheduledPrice(schedule: PriceSchedule, constantMicroUsdPerGb: number, clock: { nowMs(): number }): PriceSource {
  return {
    read: () => {
      const minute = Math.floor(clock.nowMs() / MINUTE_MS) % DAY_MIN;
      const span = schedule.spans.find(({ from, to }) => from <= minute && minute < to);
      return Promise.resolve(measured(span?.microUsdPerGb ?? constantMicroUsdPerGb));
    },
  };
}

function parseSpan(text: string): Span[] | string {
  const refuse = (why: string): string => `${JSON.stringify(text)} ${why}`;
  const [, start = "", end = "", priceText = ""] = /^(\d\d:\d\d)-(\d\d:\d\d)=(.*)$/.exec(text) ?? [];
  const [from, to] = [minuteOf(start), minuteOf(end)];
  if (from === undefined || to === undefined || from === DAY_MIN) {
    return refuse("is no span: takes HH:MM-HH:MM=PRICE in UTC, such as 00:00-06:00=0.005");
  }
  if (from === to) return refuse("covers no time; a whole day is 00:00-24:00");
  const price: ParsedPrice = parsePricePerGb(priceText, "price");
  if (price.problem !== undefined) return refuse(`has no price: ${price.problem.message.replace(/^price: /, "")}`);
  const { microUsdPerGb } = price;
  const pieces: Minutes[] = from < to ? [{ from, to }] : [{ from, to: DAY_MIN }, { from: 0, to }];
  return pieces.filter((piece) => piece.from < piece.to).map((piece) => ({ ...piece, microUsdPerGb, text }));
}

function minuteOf(time: string): number | undefined {
  const [, hours, minutes] = /^(\d\d):(\d\d)$/.exec(time) ?? [];
  const minute = Number(hours) * 60 + Number(minutes);
  return minute <= DAY_MIN && Number(minutes) < 60 ? minute : undefined;
}

function timeOf(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
}

function gapsOf(spans: readonly Minutes[]): string[] {
  const ends = [0, ...spans.map(({ to }) => to)];
  const starts = [...spans.map(({ from }) => from), DAY_MIN];
  return ends.flatMap((end, i) => {
    const start = starts[i] ?? DAY_MIN;
    return end < start ? [`${timeOf(end)}-${timeOf(start)}`] : [];
  });
}
