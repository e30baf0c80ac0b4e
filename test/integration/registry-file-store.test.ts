// The registry's store on local files: the suite of every store, and what only files can get wrong.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { openFileStore } from "../../src/registry/index.ts";
import { objectStoreSuite } from "../support/object-store-suite.ts";

objectStoreSuite("files", {
  fresh: async () => {
    const root = await mkdtemp(join(tmpdir(), "gantry-store-"));
    return {
      open: () => openFileStore(root),
      remove: () => rm(root, { recursive: true, force: true }),
    };
  },
});

const upload = "r/_uploads/11111111-2222-4333-8444-555555555555";

test("an upload whose process was killed in the middle goes on in another", async () => {
  const root = await mkdtemp(join(tmpdir(), "gantry-store-"));
  const door = new URL("../../src/registry/index.ts", import.meta.url).pathname;
  const script = `
    import { Readable } from "node:stream";
    const { openFileStore } = await import(${JSON.stringify(door)});
    const store = await openFileStore(${JSON.stringify(root)});
    const slow = new Readable({ read() {} });
    slow.push("half of it");
    setInterval(() => console.log("ready"), 200);
    await store.appendTo(${JSON.stringify(upload)}, 0, slow);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  const store = await openFileStore(root);
  await assert.rejects(store.appendTo(upload, 10, Readable.from(["x"])), { kind: "conflict" });
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(await store.uploadSize(upload), 10);
  await store.appendTo(upload, 10, Readable.from([" and the rest"]));
  await store.completeUpload(upload, "done", 23);
  assert.equal((await store.read("done")).toString(), "half of it and the rest");
  await rm(root, { recursive: true });
});

test("nothing that a killed writer left is ever listed", async () => {
  const root = await mkdtemp(join(tmpdir(), "gantry-store-"));
  const store = await openFileStore(root);
  await writeFile(join(root, ".tmp", "0123"), "half");
  await mkdir(join(root, "r/_uploads/x"), { recursive: true });
  await writeFile(join(root, "r/_uploads/x/data"), "half");
  assert.deepEqual(await store.list(""), ["r/"]);
  for await (const { path } of store.walk("")) assert.fail(path);
  await rm(root, { recursive: true });
});

test("writing leaves no temporary file behind", async () => {
  const root = await mkdtemp(join(tmpdir(), "gantry-store-"));
  const store = await openFileStore(root);
  await Promise.all(
    Array.from({ length: 20 }, (_, n) => store.write(`a/${n % 4}`, Buffer.from("x"))),
  );
  await assert.rejects(store.write("a/0/beneath-an-object", Buffer.from("x")));
  assert.deepEqual(await readdir(join(root, ".tmp")), []);
  await rm(root, { recursive: true });
});
