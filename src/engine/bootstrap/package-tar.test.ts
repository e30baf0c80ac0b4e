import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import tar from "tar-stream";
import { packageEntries } from "./package-tar.ts";

type Entry = { name: string; type?: "file" | "directory" | "link" | "symlink"; linkname?: string };

async function archive(entries: Entry[], content = "x"): Promise<Buffer> {
  const pack = tar.pack();
  for (const entry of entries) {
    const isFile = (entry.type ?? "file") === "file";
    pack.entry({ mtime: new Date(0), ...entry }, isFile ? content : "");
  }
  pack.finalize();
  return await buffer(Readable.from(pack as AsyncIterable<Buffer>));
}

async function entriesOf(data: Buffer): Promise<[string, string, string][]> {
  const found: [string, string, string][] = [];
  const extract = tar.extract();
  extract.end(data);
  for await (const entry of extract) {
    found.push([entry.header.name, entry.header.type ?? "", entry.header.linkname ?? ""]);
    entry.resume();
  }
  return found;
}

test("files of a merged root move to /usr, and the links in their place stay", async () => {
  const packed = await archive([
    { name: "./bin/", type: "directory" },
    { name: "./bin/sh" },
    { name: "./bin/bash", type: "link", linkname: "./bin/sh" },
    { name: "./lib64/ld.so", type: "symlink", linkname: "../bin/sh" },
    { name: "./binary/sh" },
    { name: "./usr/bin/env" },
  ]);
  const joined = Buffer.concat([...packageEntries(packed), Buffer.alloc(1024)]);
  assert.deepEqual(await entriesOf(joined), [
    ["./usr/bin/sh", "file", ""],
    ["./usr/bin/bash", "link", "./usr/bin/sh"],
    ["./usr/lib64/ld.so", "symlink", "../bin/sh"],
    ["./binary/sh", "file", ""],
    ["./usr/bin/env", "file", ""],
  ]);
});

test("a name that grows out of its field gets an entry of its own", async () => {
  const name = `./lib/${"n".repeat(93)}`;
  assert.equal(name.length, 99);
  const pieces = packageEntries(await archive([{ name }]));
  const joined = Buffer.concat([...pieces, Buffer.alloc(1024)]);
  assert.deepEqual(await entriesOf(joined), [[`./usr/lib/${"n".repeat(93)}`, "file", ""]]);
});

test("archives of packages join to one", async () => {
  const one = await archive([{ name: "./a" }], "a".repeat(700));
  const two = await archive([{ name: "./b" }]);
  const joined = [...packageEntries(one), ...packageEntries(two), Buffer.alloc(1024)];
  const names = (await entriesOf(Buffer.concat(joined))).map(([name]) => name);
  assert.deepEqual(names, ["./a", "./b"]);
});

test("an archive that is cut is refused", async () => {
  const whole = await archive([{ name: "./a" }], "a".repeat(5000));
  for (const length of [100, 512, 2000]) {
    assert.throws(() => packageEntries(whole.subarray(0, length)), { kind: "corrupt" });
  }
});
