// Files of a running container: storage enters its root and its mount namespace, so that it sees
// what is mounted there and cannot pull a mount from under it.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { rawTar } from "../support/raw-tar.ts";
import {
  bytesOf,
  type StorageFixture,
  storageFixture,
  streamOf,
} from "../support/storage-fixture.ts";

let fixture: StorageFixture;
let child: ChildProcess;
let place = "";

/** A process with mounts of its own stands for the container; its root is the host's. */
before(async () => {
  fixture = await storageFixture();
  place = join(fixture.root, "place");
  mkdirSync(join(place, "volume"), { recursive: true });
  writeFileSync(join(place, "hosts"), "beneath");
  writeFileSync(join(place, "plain"), "a file");
  writeFileSync(join(fixture.root, "bound"), "bound over it");
  const script = `mount -t tmpfs none volume && echo in-volume > volume/file &&
    mount --bind ../bound hosts && echo ready && exec cat`;
  child = spawn("unshare", ["--mount", "sh", "-ec", script], {
    cwd: place,
    stdio: ["pipe", "pipe", "inherit"],
  });
  await new Promise((resolve) => child.stdout!.once("data", resolve));
});
after(async () => {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.stdin!.end();
  await gone;
  await fixture.close();
});

function processRoot(pid: number) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const startTicks = BigInt(stat.slice(stat.lastIndexOf(")")).split(" ")[20]!);
  return { kind: "process", pid, startTicks } as const;
}

test("what is mounted in the container is there", async () => {
  const { files } = fixture;
  const source = processRoot(child.pid!);
  assert.equal((await files.stat(source, join(place, "volume/file"))).size, 10);
  const tar = await bytesOf(files.tar(source, join(place, "hosts")));
  assert(tar.includes("bound over it"));
  const names = streamOf(rawTar({ name: "new", content: "n" }));
  await files.untar(source, join(place, "volume"), names);
  assert.equal((await files.stat(source, join(place, "volume/new"))).size, 1);
  await assert.rejects(fixture.files.stat(processRoot(process.pid), `${place}/volume/new`));
});

test("a mounted file is not replaced, so that the mount stays", async () => {
  const { files } = fixture;
  const source = processRoot(child.pid!);
  const tar = () => streamOf(rawTar({ name: "hosts", content: "replaced" }));
  await assert.rejects(files.untar(source, place, tar()), (error: { detail?: unknown }) => {
    assert.equal((error.detail as { errno?: string }).errno, "EBUSY");
    return true;
  });
  assert.equal((await files.stat(source, join(place, "hosts"))).size, 13);
});

test("a plan that fails while its stream still brings bytes is only an error", async () => {
  const { files } = fixture;
  const source = processRoot(child.pid!);
  const tar = rawTar({ name: "big", content: Buffer.alloc(1 << 20) });
  for (let n = 0; n < 20; n++) {
    const failing = files.untar(source, join(place, "none"), streamOf(tar));
    await assert.rejects(failing, { kind: "not-found", message: /no such file or directory/ });
    await assert.rejects(bytesOf(files.tar(source, join(place, "none"))), { kind: "not-found" });
  }
  const gone = files.untar(
    { kind: "process", pid: 2 ** 22 + 1, startTicks: 1n },
    "/",
    streamOf(tar),
  );
  await assert.rejects(gone, { kind: "not-found" });
});

test("a reader that stops early stops the native program too", async () => {
  const { files } = fixture;
  writeFileSync(join(place, "large"), Buffer.alloc(1 << 24));
  const source = processRoot(child.pid!);
  for (let n = 0; n < 5; n++) {
    const stream = files.tar(source, place);
    for await (const _ of stream) break;
    assert(stream.destroyed);
  }
  assert.equal((await files.stat(source, join(place, "large"))).size, 1 << 24);
});
