/** A price from a program: real programs for how they are run and ended, an injected clock for the minutes and the hour. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type ProgramError, runProgram } from "../../src/sidecar/readings/price-program.js";
import { PriceScript } from "../../src/sidecar/readings/price-script.js";

const folder = mkdtempSync(join(tmpdir(), "price-"));
afterAll(() => rmSync(folder, { recursive: true }));

let programs = 0;
function program(body: string, interpreter = "/bin/sh"): string {
  const path = join(folder, `price-${String((programs += 1))}`);
  writeFileSync(path, `#!${interpreter}\n${body}\n`, { mode: 0o700 });
  return path;
}

const never = new AbortController().signal;
const run = (path: string, deadlineMs = 10_000, signal: AbortSignal = never): Promise<string> =>
  runProgram({ path, env: { PATH: process.env["PATH"], SHOWN: "yes" }, deadlineMs, signal });

async function failure(running: Promise<string>): Promise<{ code: string; message: string }> {
  const error = await running.then(() => undefined, (reason: unknown) => reason as ProgramError);
  if (error === undefined) throw new Error("it did not fail");
  return { code: error.code, message: error.message };
}

/** Neither running nor a zombie: kill(2) finds a zombie too. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await delay(5);
  }
}

async function written(path: string): Promise<number> {
  while (!existsSync(path) || readFileSync(path, "utf8").trim() === "") await delay(5);
  return Number(readFileSync(path, "utf8"));
}

describe("running the program", () => {
  test("its output is what it printed, its environment what it was given, and it has no input", async () => {
    expect(await run(program('cat; printf "%s %s" "$SHOWN" "${HOME-unset}"'))).toBe("yes unset");
  });

  test("no shell stands in between: a path with blanks and signs is a path", async () => {
    const path = join(folder, "a price; $(touch x)");
    writeFileSync(path, "#!/bin/sh\necho 1\n", { mode: 0o700 });
    expect(await run(path)).toBe("1\n");
  });

  test.each([
    ["a file that is not there", join(folder, "missing"), "not-started", "ENOENT"],
    ["an exit code", program("echo no luck >&2; exit 3"), "exit", "exited with 3: no luck"],
    ["a signal", program("kill -TERM $$"), "killed", "ended by SIGTERM"],
    ["endless output", program("exec yes"), "too-much-output", "more than 1024 bytes"],
  ])("%s is a failure, by its code", async (_, path, code, message) => {
    const failed = await failure(run(path));
    expect(failed).toEqual({ code, message: expect.stringContaining(message) });
  });

  test("a file that may not be executed cannot be run", async () => {
    const path = join(folder, "plain");
    writeFileSync(path, "0.01", { mode: 0o600 });
    expect((await failure(run(path))).code).toBe("not-started");
  });

  test("at its deadline it is killed with what it started, and nothing is left", async () => {
    const [self, child] = [join(folder, "self-1"), join(folder, "child-1")];
    const path = program(`trap '' TERM INT HUP; echo $$ > ${self}; sh -c 'trap "" TERM; echo $$ > ${child}; sleep 60' & wait`);
    const ended = failure(run(path, 1_500));
    const pids = [await written(self), await written(child)];
    expect(await ended).toEqual({ code: "deadline", message: "did not end within 1.5 s" });
    for (const pid of pids) await gone(pid);
  });

  test("it is killed when the sidecar stops, and not started any more", async () => {
    const self = join(folder, "self-2");
    const stop = new AbortController();
    const ended = failure(run(program(`echo $$ > ${self}; exec sleep 60`), 60_000, stop.signal));
    const pid = await written(self);
    stop.abort();
    expect((await ended).code).toBe("aborted");
    await gone(pid);
    expect((await failure(run(program(`echo $$ > ${join(folder, "self-3")}`), 60_000, stop.signal))).code).toBe("aborted");
    expect(existsSync(join(folder, "self-3"))).toBe(false);
  });

  test("one that ended while another process holds its output is over at the deadline", async () => {
    const orphan = join(folder, "orphan");
    const path = program(`process.on("SIGHUP", () => {}); const { spawn } = require("node:child_process"); const child = spawn("sleep", ["60"], { detached: true, stdio: "inherit" }); require("node:fs").writeFileSync(${JSON.stringify(orphan)}, String(child.pid)); child.unref();`, process.execPath);
    const ended = failure(run(path, 1_500));
    const pid = await written(orphan);
    expect((await ended).code).toBe("deadline");
    process.kill(pid, "SIGKILL");
  });
});

describe("the price that it gives", () => {
  /** Outputs one after the other, an Error a failure; `sleep` is the passing of a minute. */
  async function priced(outputs: readonly (string | Error)[]) {
    const ending = new AbortController();
    const left = [...outputs];
    let nowMs = 0;
    const seen: unknown[] = [];
    const health: string[] = [];
    let failures = 0;
    const script = new PriceScript({
      path: "/opt/price", env: { A: "b" },
      clock: {
        monoMs: () => nowMs,
        sleep: async (ms) => {
          seen.push(await script.read());
          nowMs += ms;
          if (left.length === 0) ending.abort();
        },
      },
      health: { up: () => health.push("up"), down: (error) => health.push((error as { code: string }).code) },
      onFailure: () => (failures += 1),
      run: async (options) => {
        expect(options).toMatchObject({ path: "/opt/price", env: { A: "b" }, deadlineMs: 10_000 });
        const next = left.shift();
        if (typeof next === "string") return next;
        throw next ?? new Error("asked too often");
      },
    });
    expect(await script.read()).toEqual({ value: undefined, reason: "price-script-no-value" });
    await script.run(ending.signal);
    return { seen, health, failures };
  }
  const broken = Object.assign(new Error("broken"), { code: "exit" });

  test("one decimal number, with blanks around it", async () => {
    expect(await priced(["0.02\n", "  1 \n\n", "0"])).toEqual({ seen: [{ value: 20_000 }, { value: 1_000_000 }, { value: 0 }], health: ["up", "up", "up"], failures: 0 });
  });

  test.each(["", "\n", "free", "-1", "1e-3", "0.01 0.02", "0.01\n0.02", "NaN", "$1"])("%j is no price: unknown, and a failure", async (output) => {
    expect(await priced([output])).toEqual({ seen: [{ value: undefined, reason: "price-script-no-value" }], health: ["no-price"], failures: 1 });
  });

  test("the last good value holds for an hour of failures and not a minute more, and comes back", async () => {
    const { seen, health, failures } = await priced(["0.02", ...Array.from({ length: 62 }, () => broken), "0.03"]);
    expect(seen.slice(0, 61)).toEqual(Array.from({ length: 61 }, () => ({ value: 20_000 })));
    expect(seen[61]).toEqual({ value: undefined, reason: "price-script-stale", detail: "last good 3660 s ago" });
    expect(seen[62]).toMatchObject({ value: undefined });
    expect(seen[63]).toEqual({ value: 30_000 });
    expect({ failures, last: health.at(-1) }).toEqual({ failures: 62, last: "up" });
  });

  test("a stop in the midst of a run is no failure", async () => {
    const stop = new AbortController();
    const told: string[] = [];
    const script = new PriceScript({
      path: "/opt/price", env: {}, clock: { monoMs: () => 0, sleep: () => Promise.reject(new Error("slept")) },
      health: { up: () => told.push("up"), down: () => told.push("down") }, onFailure: () => told.push("failure"),
      run: () => {
        stop.abort();
        return Promise.reject(broken);
      },
    });
    await script.run(stop.signal);
    expect(told).toEqual([]);
  });
});
