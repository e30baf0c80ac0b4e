// bench.ts --only logs: a container's output written to its log, and read back through the stock
// client and through the API alone: ours (json-file as it is by default, and local) and dockerd's
// json-file, interleaved. Every byte that comes back is counted.

import { request } from "node:http";
import { IMAGE } from "../e2e/harness.ts";
import { run } from "../e2e/process.ts";
import type { Engine } from "./engines.ts";
import { Samples, table } from "./statistics.ts";

const MEGABYTE = 1e6;
/** The payload's `spam` writes lines of 64 bytes. */
const LINE_BYTES = 64;
const DEADLINE_MS = 600_000;
const HEADER_BYTES = 8;

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
  const rates = new Map<string, Record<"write" | "client" | "api", Samples>>();
  for (let round = 0; round < o.rounds; round++) {
    for (const contestant of contestants) {
      const rate = rates.get(contestant.name) ?? newRates();
      rates.set(contestant.name, rate);
      await measure(contestant, rate);
    }
  }
  const rows = [["logs, MB/s", "write", "read by client", "read by API"]];
  const record: Record<string, unknown> = {};
  for (const [name, { write, client, api }] of rates) {
    const numbers = [write.p50, client.p50, api.p50];
    rows.push([name, ...numbers.map((value) => value.toFixed(0))]);
    record[name] = { write: write.p50, client: client.p50, api: api.p50 };
  }
  console.log(table(rows));
  return record;
}

const newRates = () => ({ write: new Samples(), client: new Samples(), api: new Samples() });

function contestantsOf(engine: Engine, megabytes: number): Contestant[] {
  if (engine.socket === undefined) return [];
  if (engine.name === "dockerd") {
    return [{ name: "dockerd", engine, options: [], megabytes: Math.ceil(megabytes / 5) }];
  }
  const local = ["--log-driver", "local", "--log-opt", "max-file=500"];
  return [
    { name: engine.name, engine, options: [], megabytes },
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
  } finally {
    await client(engine, ["rm", "-f", id]);
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
  const path = `/v1.44/containers/${id}/logs?stdout=1&stderr=1`;
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
