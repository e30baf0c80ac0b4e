import assert from "node:assert/strict";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { compressFile } from "./compressed.ts";
import { generationPath } from "./generations.ts";
import type { LogTime } from "./record.ts";
import { Renderer } from "./render.ts";
import { type Place, seekTail, seekTime } from "./seek.ts";
import { binaryFile, jsonLines } from "./test-logs.ts";
import { unpacker } from "./unpacker.ts";
import { openFiles, walk } from "./walk.ts";

const all = { stdout: true, stderr: true, timestamps: false, details: false };

async function withFolder(use: (path: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "gantry-log-"));
  try {
    await use(join(dir, "x.log"));
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function compressed(path: string, content: Buffer, binary: boolean): Promise<void> {
  await writeFile(`${path}.plain`, content);
  await using source = await open(`${path}.plain`, "r");
  await using target = await open(path, "w");
  await compressFile(source, target, { binary });
  await rm(`${path}.plain`);
}

type Seek = (files: Parameters<typeof seekTail>[0]) => Promise<Place>;

async function read(path: string, seek?: Seek): Promise<string[]> {
  const files = await openFiles(path, false);
  const place = seek ? await seek(files) : { file: 0, offset: 0 };
  const renderer = new Renderer({ ...all, frames: false, merge: true });
  let text = "";
  for await (const { file, data } of walk(path, files, place, { binary: false })) {
    text += renderer.render(file.format, data).text;
  }
  return text.split("\n").slice(0, -1);
}

const tail = (path: string, count: number) =>
  read(path, (files) => seekTail(files, count, () => true));

const write = (kind: "json" | "binary", texts: readonly string[], from = 0) =>
  kind === "json"
    ? jsonLines(texts.map((text, n) => ({ log: `${text}\n`, time: timeOf(from + n) })))
    : binaryFile(texts.map((text, n) => ({ text, nano: BigInt(from + n) * 1_000_000_000n })));

const timeOf = (second: number) => new Date(second * 1000).toISOString().replace(".000", "");

for (const kind of ["json", "binary"] as const) {
  test(`the last lines are found across rotated and compressed files (${kind})`, async () => {
    await withFolder(async (path) => {
      const old = `${generationPath(path, 7)}.zst`;
      await compressed(old, write(kind, ["a", "b"]), kind === "binary");
      await writeFile(generationPath(path, 8), write(kind, ["c", "d"]));
      await writeFile(generationPath(path, 9), write(kind, ["e"]));
      assert.deepEqual(await tail(path, 1), ["e"]);
      assert.deepEqual(await tail(path, 2), ["d", "e"]);
      assert.deepEqual(await tail(path, 4), ["b", "c", "d", "e"]);
      assert.deepEqual(await tail(path, 99), ["a", "b", "c", "d", "e"]);
      assert.deepEqual(await tail(path, 0), []);
    });
  });

  test(`large files are read and sought from any line on, compressed or not (${kind})`, async () => {
    await withFolder(async (path) => {
      const lines = Array.from({ length: 60_000 }, (_, n) => `line ${n} ${"x".repeat(n % 97)}`);
      const half = write(kind, lines.slice(0, 30_000));
      await compressed(`${generationPath(path, 1)}.zst`, half, kind === "binary");
      await writeFile(generationPath(path, 2), write(kind, lines.slice(30_000), 30_000));
      assert.deepEqual(await read(path), lines);
      for (const count of [20_000, 30_000, 45_000]) {
        assert.deepEqual(await tail(path, count), lines.slice(-count));
      }
      for (const seconds of [0, 1, 12_345, 29_999, 30_000, 31_000, 59_999]) {
        const since: LogTime = { seconds, nanoseconds: 0 };
        const found = await read(path, (files) => seekTime(files, since));
        const first = found.length === 0 ? lines.length : lines.indexOf(found[0]!);
        assert(first <= seconds, `${first} is after ${seconds}`);
        assert(seconds - first < 12_000, `${first} is long before ${seconds}`);
      }
    });
  });
}

test("a log without generations is read in the order of its former names", async () => {
  await withFolder(async (path) => {
    await writeFile(`${path}.2`, write("json", ["a"]));
    await writeFile(`${path}.1`, write("json", ["b"]));
    await writeFile(path, write("json", ["c"]));
    assert.deepEqual(await read(path), ["a", "b", "c"]);
    await writeFile(generationPath(path, 1), write("json", ["c"]));
    await writeFile(generationPath(path, 2), write("json", ["d"]));
    assert.deepEqual(await read(path), ["a", "b", "c", "d"]);
  });
});

test("while a file is there plain and compressed, it is read once", async () => {
  await withFolder(async (path) => {
    await writeFile(generationPath(path, 1), write("json", ["a"]));
    await writeFile(`${generationPath(path, 1)}.zst`, "half of a compression");
    await writeFile(generationPath(path, 2), write("json", ["b"]));
    assert.deepEqual(await read(path), ["a", "b"]);
  });
});

test("a follower goes on over rotations, compression and removals, and reads each line once", async () => {
  await withFolder(async (path) => {
    await writeFile(generationPath(path, 1), write("json", ["1"]));
    const wake = { ended: false, next: async () => changes.shift()?.() };
    const changes = [
      () => writeFile(generationPath(path, 1), write("json", ["2"]), { flag: "a" }),
      async () => {
        await writeFile(generationPath(path, 1), write("json", ["3"]), { flag: "a" });
        await writeFile(generationPath(path, 2), write("json", ["4"]));
        await writeFile(generationPath(path, 3), write("json", ["5"]));
        await compressed(`${generationPath(path, 2)}.zst`, write("json", ["4"]), false);
        await rm(generationPath(path, 2));
        await rm(generationPath(path, 1));
      },
      async () => {
        await writeFile(generationPath(path, 3), '{"log":"half', { flag: "a" });
      },
      async () => {
        const rest = write("json", ["half of 6"]).subarray('{"log":"half'.length);
        await writeFile(generationPath(path, 3), rest, { flag: "a" });
        wake.ended = true;
      },
    ];
    const files = await openFiles(path, false);
    const found: string[] = [];
    const renderer = new Renderer({ ...all, frames: false, merge: true });
    const o = { binary: false, wake };
    for await (const { file, data } of walk(path, files, { file: 0, offset: 0 }, o)) {
      found.push(String(renderer.render(file.format, data).text));
    }
    assert.equal(found.join(""), "1\n2\n3\n4\n5\nhalf of 6\n");
  });
});

test("a compressed file of many frames is read whole, and again, and a damaged one is told of", async () => {
  await withFolder(async (path) => {
    const count = 150_000; // 13 MiB: more frames than are unpacked ahead, whose memory comes again
    const texts = Array.from({ length: count }, (_, n) => `${n}`.padEnd(20, "."));
    const packed = `${generationPath(path, 1)}.zst`;
    await compressed(packed, write("json", texts), false);
    await writeFile(generationPath(path, 2), write("json", ["last"]));
    for (let again = 0; again < 2; again++) {
      assert.deepEqual(await read(path), [...texts, "last"]);
    }
    const bytes = await readFile(packed);
    bytes.fill(0, bytes.length >> 1, (bytes.length >> 1) + 2_000);
    await writeFile(packed, bytes);
    await assert.rejects(read(path), { kind: "corrupt" });
    assert.deepEqual(await tail(path, 1), ["last"]);
  });
});

test("memory for what is unpacked comes back from readers that leave in the middle", async () => {
  await withFolder(async (path) => {
    const text = "x".repeat(1000);
    const texts = Array.from({ length: 16_000 }, (_, n) => `${n} ${text}`); // 8 frames
    await compressed(`${generationPath(path, 1)}.zst`, write("json", texts), false);
    const before = unpacker.made;
    const readers = 40;
    for (let reader = 0; reader < readers; reader++) {
      let steps = 0;
      const files = await openFiles(path, false);
      for await (const step of walk(path, files, { file: 0, offset: 0 }, { binary: false })) {
        assert.ok(step.data.length > 0);
        if (++steps === 10) break;
      }
      assert.equal(steps, 10);
    }
    // Each has three or four at a time.
    assert.ok(unpacker.made - before < readers, `${unpacker.made - before} pieces`);
  });
});
