import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { test } from "node:test";
import { GantryError } from "../base/index.ts";
import type { DownloadLimits } from "./contract.ts";
import { Download, type OpenRange, type PartialBytes } from "./download.ts";

const blob = randomBytes(1000);
const digest = `sha256:${createHash("sha256").update(blob).digest("hex")}`;
const wanted = { digest, size: blob.length };
const limits: DownloadLimits = {
  pieceBytes: 100,
  rangesMax: 3,
  attemptsMax: 3,
  progressBytes: 50,
  retryDelayMs: 1,
  retryDelayMsMax: 4,
};

/** A partial blob in memory. */
class Memory implements PartialBytes {
  files = new Map<number, Buffer>();
  constructor(parts: Record<number, Buffer> = {}) {
    for (const [start, bytes] of Object.entries(parts)) this.files.set(Number(start), bytes);
  }
  get parts(): { start: number; length: number }[] {
    return [...this.files]
      .map(([start, { length }]) => ({ start, length }))
      .sort((a, b) => a.start - b.start);
  }
  async append(start: number, chunks: readonly Uint8Array[]): Promise<void> {
    this.files.set(start, Buffer.concat([this.files.get(start) ?? Buffer.alloc(0), ...chunks]));
  }
  async endPart(): Promise<void> {}
  async read(start: number, offset: number, buffer: Uint8Array): Promise<number> {
    return this.files.get(start)!.copy(buffer, 0, offset, offset + buffer.length);
  }
  async removePart(start: number): Promise<void> {
    this.files.delete(start);
  }
}

type Asked = { from?: number; to?: number };
/** A registry; `bend` may answer otherwise. */
function server(bend: (asked: Asked, count: number) => Partial_ | undefined = () => undefined) {
  const asked: Asked[] = [];
  const open: OpenRange = async (range) => {
    asked.push(range);
    const { status, bytes, offset, error } = bend(range, asked.length) ?? {};
    if (error) throw error;
    const body = bytes ?? blob.subarray(range.from ?? 0, range.to ?? blob.length);
    const response = Readable.from(body.length ? [body] : []) as IncomingMessage;
    response.statusCode = status ?? (range.from === undefined ? 200 : 206);
    return { response, offset: offset ?? range.from ?? 0 };
  };
  return { asked, open };
}
type Partial_ = { status?: number; bytes?: Buffer; offset?: number; error?: Error };

async function fetchAll(
  open: OpenRange,
  { partial = new Memory(), size = blob.length, bend = {} as object } = {},
) {
  const signal = new AbortController().signal;
  const options = { limits: { ...limits, ...bend } };
  const download = new Download({ ...wanted, size }, partial, open, options);
  const running = download.run(signal);
  running.catch(() => {});
  const chunks: Buffer[] = [];
  for await (const chunk of download.bytes(signal)) chunks.push(chunk);
  await running;
  return { bytes: Buffer.concat(chunks), download, partial };
}

test("a large blob comes in pieces, each byte once and in order", async () => {
  const { asked, open } = server();
  const { bytes, download } = await fetchAll(open);
  assert.deepEqual(bytes, blob);
  assert(download.verified);
  const froms = asked.map(({ from }) => from).sort((a, b) => a! - b!);
  assert.deepEqual(froms, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
  assert.deepEqual(asked.at(-1)?.to, undefined);
});

test("a small blob is asked for whole", async () => {
  const { asked, open } = server();
  await fetchAll(open, { bend: { pieceBytes: 501 } });
  assert.deepEqual(asked, [{}]);
});

test("what is here is not asked for again, wherever it lies", async () => {
  const { asked, open } = server();
  const partial = new Memory({
    0: blob.subarray(0, 37),
    200: blob.subarray(200, 300),
    300: blob.subarray(300, 310),
  });
  const { bytes, download } = await fetchAll(open, { partial });
  assert.deepEqual(bytes, blob);
  assert.equal(download.resumedBytes, 147);
  const asks = asked.map(({ from, to }) => `${from}-${to ?? ""}`).sort();
  assert.deepEqual(
    asks,
    ["310-400", "37-200", "400-500", "500-600", "600-700", "700-800", "800-900", "900-"].sort(),
  );
});

test("a blob that is here whole is only hashed", async () => {
  const { asked, open } = server();
  const { bytes } = await fetchAll(open, { partial: new Memory({ 0: blob }) });
  assert.deepEqual(bytes, blob);
  assert.deepEqual(asked, []);
});

test("a wrong byte of an earlier run is found", async () => {
  const { open } = server();
  const bad = Buffer.from(blob.subarray(0, 500));
  bad[250]! ^= 1;
  await assert.rejects(fetchAll(open, { partial: new Memory({ 0: bad }) }), { kind: "corrupt" });
});

for (const [what, bend] of [
  ["ignores ranges", () => ({ status: 200, bytes: blob, offset: 0 })],
  [
    "refuses ranges",
    ({ from }: Asked) =>
      from === undefined
        ? undefined
        : { error: new GantryError("invalid", "no", { detail: { status: 416 } }) },
  ],
  [
    "answers without saying where",
    ({ from }: Asked) => (from === undefined ? undefined : { offset: -1 }),
  ],
] as const) {
  for (const here of [0, 37]) {
    test(`a registry that ${what} gives the blob too, with ${here} bytes here`, async () => {
      const { open } = server(bend);
      const partial = new Memory(
        here ? { 0: blob.subarray(0, here), 600: blob.subarray(600, 650) } : {},
      );
      assert.deepEqual((await fetchAll(open, { partial })).bytes, blob);
    });
  }
}

test("broken connections go on where they broke; tries that bring nothing are counted", async () => {
  const cut = ({ from = 0, to = 1000 }: Asked) => ({
    bytes: blob.subarray(from, Math.min(to, from + 60)),
  });
  const { open } = server(cut);
  assert.deepEqual((await fetchAll(open)).bytes, blob);
  const dead = server(() => ({ bytes: Buffer.alloc(0) }));
  await assert.rejects(fetchAll(dead.open, { bend: { rangesMax: 1 } }), /unexpected EOF/);
  assert.equal(dead.asked.length, limits.attemptsMax);
});

test("a refusal is not tried again", async () => {
  const error = new GantryError("forbidden", "denied", { detail: { status: 403 } });
  const { asked, open } = server(() => ({ error }));
  await assert.rejects(fetchAll(open, { bend: { rangesMax: 1 } }), { message: "denied" });
  assert.equal(asked.length, 1);
});

test("more bytes than promised are an error, and a promise beyond all measure costs nothing", async () => {
  const { open } = server(() => ({ bytes: blob }));
  await assert.rejects(fetchAll(open, { size: 150 }), /longer than/);
  const huge = server();
  await assert.rejects(fetchAll(huge.open, { size: Number.MAX_SAFE_INTEGER }), /unexpected EOF/);
});

test("an empty blob is verified", async () => {
  const empty = `sha256:${createHash("sha256").digest("hex")}`;
  const signal = new AbortController().signal;
  const download = new Download({ digest: empty, size: 0 }, new Memory(), server().open);
  await download.run(signal);
  for await (const _ of download.bytes(signal)) assert.fail("bytes of an empty blob");
  assert(download.verified);
});

test("whoever reads learns that it was stopped", async () => {
  const stop = new AbortController();
  const never: OpenRange = () => new Promise(() => {});
  const download = new Download(wanted, new Memory(), never, { limits });
  const reading = download.bytes(stop.signal).next();
  stop.abort(new Error("enough"));
  await assert.rejects(reading, { message: "enough" });
});
