import assert from "node:assert/strict";
import { test } from "node:test";
import { paxText, type RawEntry, rawEntry, rawTar } from "../../test/support/raw-tar.ts";
import { tarHeader } from "./tar-header.ts";
import { readTar } from "./tar-reader.ts";

async function* pieces(data: Uint8Array, bytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += bytes) yield Buffer.from(data.subarray(at, at + bytes));
}

async function readAll(data: Uint8Array, bytes = 700) {
  const found: { name: string; type: string; link: string; text: string }[] = [];
  for await (const { name, type, link, body } of readTar(pieces(data, bytes))) {
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk as Buffer);
    found.push({ name, type, link, text: Buffer.concat(chunks).toString() });
  }
  return found;
}

const file = (name: string, text: string) => ({ name, type: "0", link: "", text });

test("entries come with names, links and content, whatever pieces they arrive in", async () => {
  const long = "n".repeat(150);
  const tar = rawTar(
    { name: "a", content: "x".repeat(1500) },
    { name: "l", type: "2", link: "a" },
    { name: "d/", type: "5" },
    { name: "L", type: "L", content: `${long}\0` },
    { name: "cut", content: "long" },
    { name: "short", content: "pax", pax: { path: "from/pax", mtime: "1.5" } },
    { name: "old/", type: "\0" },
  );
  for (const bytes of [1, 511, 512, 5000, 1 << 20]) {
    assert.deepEqual(await readAll(tar, bytes), [
      file("a", "x".repeat(1500)),
      { name: "l", type: "2", link: "a", text: "" },
      { name: "d/", type: "5", link: "", text: "" },
      file(long, "long"),
      file("from/pax", "pax"),
      { name: "old/", type: "5", link: "", text: "" },
    ]);
  }
});

test("what is not read of an entry is passed over", async () => {
  const big = { name: "big", content: "b".repeat(3_000_000) };
  const tar = rawTar(big, { name: "after", content: "!" });
  const names: string[] = [];
  for await (const { name, body } of readTar(pieces(tar, 65_536))) {
    names.push(name);
    for await (const _ of body) break; // destroys it in the middle
  }
  assert.deepEqual(names, ["big", "after"]);
});

test("our own headers are read back, large sizes included", async () => {
  const large = tarHeader("large", { size: 2 ** 34 });
  const reading = readTar(pieces(large, 100));
  const { value } = await reading.next();
  assert.equal(value?.size, 2 ** 34);
  await assert.rejects(reading.next(), { message: "unexpected EOF" });
});

test("an archive is whole without the zeros after its last content", async () => {
  const whole = rawEntry({ name: "f", content: "x".repeat(300) });
  for (const length of [812, 813, 1024]) {
    assert.deepEqual(
      (await readAll(whole.subarray(0, length))).map(({ name }) => name),
      ["f"],
    );
  }
});

test("damaged, cut and oversized archives are refused", async () => {
  const refuse = (data: Uint8Array, message: RegExp) =>
    assert.rejects(readAll(data), { kind: "corrupt", message });
  const entry = (more: Partial<RawEntry>) => rawEntry({ name: "f", content: "x", ...more });
  const long = rawEntry({ name: "f", content: "x".repeat(300) });
  await refuse(long.subarray(0, 811), /unexpected EOF/);
  await refuse(entry({}).subarray(0, 100), /unexpected EOF/);
  await refuse(entry({ badChecksum: true }), /invalid tar header/);
  await refuse(entry({ type: "x", content: "7 a=b" }), /invalid tar header/);
  await refuse(entry({ type: "x", content: paxText({ size: "-1" }) }), /unexpected EOF|invalid/);
  await refuse(entry({ type: "x", size: 8 ** 10 }), /too long/);
  await refuse(entry({ type: "L", size: 8 ** 10 }), /too long/);
  const lie = Buffer.concat([entry({ pax: { size: "1e9" } }), Buffer.alloc(1024)]);
  await refuse(lie, /unexpected EOF|invalid/);
});
