// bench.ts --only logs: a container's output written to its log, and read back through the stock
// client and through the API alone: ours (json-file as it is by default, with one unlimited file,
// and local) and dockerd's json-file, interleaved. Every byte that comes back is counted. The last
// column is read again when all rotated files are compressed.

import { readdir } from "node:fs/promises";
import { request } from "node:http";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { IMAGE } from "../e2e/harness.ts";
import { run } from "../e2e/process.ts";
import type { Engine } from "./engines.ts";
import { Samples, table } from "./statistics.ts";

const MEGABYTE = 1e6;
/** The payload's `spam` writes lines of 64 bytes. */
const LINE_BYTES = 64;
const DEADLINE_MS = 600_000;
const HEADER_BYTES = 8;
const COMPRESSION_MS_MAX = 60_000;

interface Contestant {
  name: string;
  engine: Engine;
  options: string[];
  megabytes: number;
}

/** MB of text a second, by contestant. `megabytes` are ours; dockerd has a fifth. */
export async function compareLogs(
  engines: readonly Engine[],
  o: { rounds: number; megabytes: number },
): Promise<Record<string, unknown>> {
  const contestants = engines.flatMap((engine) => contestantsOf(engine, o.megabytes));
  const rates = new Map<string, Record<Rate, Samples>>();
  for (let round = 0; round < o.rounds; round++) {
    for (const contestant of contestants) {
      const rate = rates.get(contestant.name) ?? newRates();
      rates.set(contestant.name, rate);
      await measure(contestant, rate);
    }
  }
  const rows = [["logs, MB/s", "write", "read by client", "read by API", "compressed"]];
  const record: Record<string, unknown> = {};
  for (const [name, { write, client, api, compressed }] of rates) {
    const numbers = [write.p50, client.p50, api.p50, compressed.p50];
    rows.push([name, ...numbers.map((value) => (value > 0 ? value.toFixed(0) : "–"))]);
    record[name] = {
      write: write.p50,
      client: client.p50,
      api: api.p50,
      compressed: compressed.p50,
    };
  }
  console.log(table(rows));
  return record;
}

type Rate = "write" | "client" | "api" | "compressed";
const newRates = (): Record<Rate, Samples> => ({
  write: new Samples(),
  client: new Samples(),
  api: new Samples(),
  compressed: new Samples(),
});

function contestantsOf(engine: Engine, megabytes: number): Contestant[] {
  if (engine.socket === undefined) return [];
  if (engine.name === "dockerd") {
    return [{ name: "dockerd", engine, options: [], megabytes: Math.ceil(megabytes / 5) }];
  }
  const local = ["--log-driver", "local", "--log-opt", "max-file=500"];
  const unlimited = ["--log-opt", "max-size=-1"];
  const byDefault = { name: engine.name, engine, options: [], megabytes };
  if (engine.name !== "gantry") return [byDefault];
  return [
    byDefault,
    { name: `${engine.name}, one file`, engine, options: unlimited, megabytes },
    { name: `${engine.name}, local`, engine, options: local, megabytes },
  ];
}

async function measure(c: Contestant, rates: ReturnType<typeof newRates>): Promise<void> {
  const bytes = Math.floor((c.megabytes * MEGABYTE) / LINE_BYTES) * LINE_BYTES;
  const { engine } = c;
  const create = ["create", "--network", "none", ...c.options, IMAGE, "spam", String(bytes)];
  const id = (await client(engine, create)).trim();
  try {
    const perSecond = async (work: () => Promise<unknown>): Promise<number> => {
      const began = performance.now();
      await work();
      return bytes / MEGABYTE / ((performance.now() - began) / 1000);
    };
    rates.write.add(
      await perSecond(async () => {
        await client(engine, ["start", id]);
        await client(engine, ["wait", id]);
      }),
    );
    rates.client.add(await perSecond(() => readByClient(engine, id, bytes)));
    rates.api.add(await perSecond(() => readByApi(engine, id, bytes)));
    if (c.engine.name === "gantry" && (await isCompressed(engine, id))) {
      rates.compressed.add(await perSecond(() => readByApi(engine, id, bytes)));
    }
  } finally {
    await client(engine, ["rm", "-f", id]);
  }
}

/** Waits for the compression of a log whose files are known; false where none is compressed. */
async function isCompressed(engine: Engine, id: string): Promise<boolean> {
  const path = (await client(engine, ["inspect", "-f", "{{.LogPath}}", id])).trim();
  if (path === "") return false;
  const end = performance.now() + COMPRESSION_MS_MAX;
  for (;;) {
    const names = (await readdir(dirname(path))).filter((name) => /\.\d{6}(\.zst)?$/.test(name));
    const isDone = names
      .sort()
      .slice(0, -1)
      .every((name) => name.endsWith(".zst"));
    if (isDone) return names.length > 1;
    if (performance.now() > end) throw new Error(`${engine.name}: ${names} after a minute`);
    await delay(100);
  }
}

async function client(engine: Engine, args: string[]): Promise<string> {
  const [command, ...first] = engine.command as [string, ...string[]];
  const options = { env: engine.env, deadlineMs: DEADLINE_MS };
  const { code, stdout, stderr } = await run(command, [...first, ...args], options);
  if (code !== 0) throw new Error(`${engine.name}: ${args.join(" ")}: ${stderr}`);
  return stdout;
}

async function readByClient(engine: Engine, id: string, bytes: number): Promise<void> {
  const line = `${engine.command.join(" ")} logs ${id} | wc -c`;
  const options = { env: engine.env, deadlineMs: DEADLINE_MS };
  const { stdout } = await run("/bin/sh", ["-c", line], options);
  if (Number(stdout) !== bytes) throw new Error(`${engine.name}: ${stdout} of ${bytes} bytes`);
}

/** Takes the frames' headers off, and counts. */
async function readByApi(engine: Engine, id: string, bytes: number): Promise<void> {
  const path = `/containers/${id}/logs?stdout=1&stderr=1`;
  const count = await new Promise<number>((resolve, reject) => {
    const asked = request({ socketPath: engine.socket!, path }, (answer) => {
      const counter = new FrameCounter();
      answer.on("data", (chunk: Buffer) => counter.push(chunk));
      answer.on("end", () => resolve(counter.bytes));
      answer.on("error", reject);
    });
    asked.on("error", reject).end();
  });
  if (count !== bytes) throw new Error(`${engine.name}: ${count} of ${bytes} bytes`);
}

class FrameCounter {
  bytes = 0;
  #left = 0;
  #header = Buffer.alloc(0);

  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#left === 0) {
        const missing = HEADER_BYTES - this.#header.length;
        this.#header = Buffer.concat([this.#header, chunk.subarray(at, at + missing)]);
        at += Math.min(missing, chunk.length - at);
        if (this.#header.length < HEADER_BYTES) return;
        this.#left = this.#header.readUInt32BE(4);
        this.#header = Buffer.alloc(0);
      }
      const take = Math.min(this.#left, chunk.length - at);
      this.bytes += take;
      this.#left -= take;
      at += take;
    }
  }
}
