// bench.ts --only observe: what looking costs the daemon. CPU time of the daemon (all its threads)
// while 100 containers' stats are streamed, alone and to three clients each, in percent of a core;
// and the daemon's CPU time of a `ps` with 500 containers. Wall time would measure the machine.

import { readFile } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { IMAGE } from "../e2e/harness.ts";
import { ApiSequence } from "./api-sequence.ts";
import type { Engine } from "./engines.ts";
import { milliseconds, table } from "./statistics.ts";

const WATCHED = 100;
const LISTED = 500;
const CLIENTS = 3;
const SETTLE_MS = 5_000;
const WINDOW_MS = 20_000;
const LISTS = 50;
const AT_ONCE = 8;
const TICK_MS = 10;

export async function compareObserving(
  engines: readonly Engine[],
): Promise<Record<string, unknown>> {
  const results: Record<string, Record<string, number>> = {};
  const seen = new Set<string>();
  for (const engine of engines) {
    if (engine.socket === undefined || seen.has(engine.socket)) continue;
    seen.add(engine.socket);
    results[engine.name] = await observe(engine, engine.socket);
  }
  const names = [...new Set(Object.values(results).flatMap((result) => Object.keys(result)))];
  const rows = [["observing", ...Object.keys(results)]];
  for (const name of names) {
    rows.push([name, ...Object.values(results).map((result) => milliseconds(result[name]!))]);
  }
  console.log(`${table(rows)}\n`);
  return results;
}

async function observe(engine: Engine, socket: string): Promise<Record<string, number>> {
  const api = new ApiSequence(socket);
  const ids: string[] = [];
  const add = async (count: number, start: boolean): Promise<void> => {
    for (let made = 0; made < count; made += AT_ONCE) {
      const batch = Array.from({ length: Math.min(AT_ONCE, count - made) }, async () => {
        const body = { Image: IMAGE, Cmd: ["sleep"], HostConfig: { NetworkMode: "none" } };
        const { Id } = JSON.parse(await api.call("POST", "/containers/create", 201, body));
        ids.push(Id);
        if (start) await api.call("POST", `/containers/${Id}/start`, 204);
      });
      await Promise.all(batch);
    }
  };
  try {
    await add(WATCHED, true);
    const idle = await load(engine);
    const one = await watched(engine, socket, ids);
    const more = await watched(engine, socket, Array.from({ length: CLIENTS }, () => ids).flat());
    await add(LISTED - WATCHED, false);
    const before = await cpuMs(engine);
    for (let n = 0; n < LISTS; n++) await api.call("GET", "/containers/json?all=1", 200);
    const listMs = ((await cpuMs(engine)) - before) / LISTS;
    return {
      [`nobody looks at ${WATCHED}, % of a core`]: idle,
      [`stats of ${WATCHED}, % of a core`]: one,
      [`the same for ${CLIENTS} clients, % of a core`]: more,
      [`ps -a with ${LISTED}, ms of CPU`]: listMs,
    };
  } finally {
    for (const id of ids) await api.call("DELETE", `/containers/${id}?force=1`, 204);
    api.close();
  }
}

/** Percent of a core while every one of `ids` has a stream open. */
async function watched(
  engine: Engine,
  socketPath: string,
  ids: readonly string[],
): Promise<number> {
  const streams: IncomingMessage[] = [];
  try {
    for (const id of ids) {
      const path = `/containers/${id}/stats?stream=1`;
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        request({ socketPath, path, agent: false }, resolve).on("error", reject).end();
      });
      answer.resume();
      answer.on("error", () => {});
      streams.push(answer);
    }
    await delay(SETTLE_MS);
    return await load(engine);
  } finally {
    for (const stream of streams) stream.destroy();
  }
}

async function load(engine: Engine): Promise<number> {
  const [before, started] = [await cpuMs(engine), performance.now()];
  await delay(WINDOW_MS);
  return (((await cpuMs(engine)) - before) / (performance.now() - started)) * 100;
}

/** CPU time of the daemon's processes so far: user and system, all threads. */
async function cpuMs(engine: Engine): Promise<number> {
  let ticks = 0;
  for (const pid of await engine.daemonPids()) {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks * TICK_MS;
}
