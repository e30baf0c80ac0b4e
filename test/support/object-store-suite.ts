// What every object store of the registry must do (src/registry/contract.ts). A driver is done when
// objectStoreSuite("name", open) passes; `open` gives the same store again each time it is called
// with the same key, as two processes over one store would have it.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { describe, test } from "node:test";
import { kindOf } from "../../src/base/index.ts";
import type { ObjectStore } from "../../src/registry/index.ts";

export interface SuiteStore {
  /** A fresh, empty place. */
  fresh(): Promise<{
    /** One more process over it. */
    open(): Promise<ObjectStore>;
    remove(): Promise<void>;
  }>;
  /** Largest chunk for which sizes are tried [3 MiB]. */
  bytesMax?: number;
}

type Work = (store: ObjectStore, other: ObjectStore) => Promise<void>;

export function objectStoreSuite(name: string, suite: SuiteStore): void {
  const check = (title: string, work: Work): void => {
    test(title, async () => {
      const place = await suite.fresh();
      const [store, other] = [await place.open(), await place.open()];
      try {
        await work(store, other);
      } finally {
        await Promise.all([store.close(), other.close()]);
        await place.remove();
      }
    });
  };
  describe(`object store: ${name}`, () => {
    objects(check);
    listings(check);
    uploads(check, suite.bytesMax ?? 3 << 20);
  });
}

type Check = (title: string, work: Work) => void;
const bytes = (text: string): Buffer => Buffer.from(text);

function objects(check: Check): void {
  check("an object that was written is read whole, also by another process", async (a, b) => {
    await a.write("x/y/z", bytes("first"));
    assert.equal((await b.read("x/y/z")).toString(), "first");
    await b.write("x/y/z", bytes("second, longer"));
    assert.equal((await a.read("x/y/z")).toString(), "second, longer");
    assert.equal((await a.stat("x/y/z"))?.size, 14);
  });

  check("an object without bytes is an object", async (store) => {
    await store.write("empty", bytes(""));
    assert.equal((await store.read("empty")).length, 0);
    assert.equal((await store.stat("empty"))?.size, 0);
  });

  check("a part of an object has both its ends", async (store) => {
    await store.write("digits", bytes("0123456789"));
    const part = async (range?: { start: number; end?: number }) =>
      (await buffer(await store.open("digits", range))).toString();
    assert.equal(await part(), "0123456789");
    assert.equal(await part({ start: 3 }), "3456789");
    assert.equal(await part({ start: 3, end: 3 }), "3");
    assert.equal(await part({ start: 0, end: 4 }), "01234");
  });

  check("what is not there is not found, and removing it is no error", async (store) => {
    const isMissing = (error: unknown) => kindOf(error) === "not-found";
    await assert.rejects(store.read("no"), isMissing);
    await assert.rejects(async () => buffer(await store.open("no")), isMissing);
    await assert.rejects(store.move("no", "where"), isMissing);
    assert.equal(await store.stat("no"), undefined);
    assert.equal(await store.touch("no"), false);
    await store.remove("no");
    await store.removeAll("no");
  });

  check("a folder is no object", async (store) => {
    await store.write("folder/object", bytes("x"));
    assert.equal(await store.stat("folder"), undefined);
    await assert.rejects(store.read("folder"));
  });

  check("touching makes an object young and leaves its bytes", async (store) => {
    await store.write("old", bytes("bytes"));
    const before = (await store.stat("old"))!.modifiedAt.getTime();
    await new Promise((resolve) => setTimeout(resolve, 1_100)); // some stores count seconds
    assert.equal(await store.touch("old"), true);
    assert.ok((await store.stat("old"))!.modifiedAt.getTime() > before);
    assert.equal((await store.read("old")).toString(), "bytes");
  });

  check("a moved object is at its new path only, over what was there", async (store) => {
    await store.write("from/a", bytes("new"));
    await store.write("to/b", bytes("old"));
    await store.move("from/a", "to/b");
    assert.equal(await store.stat("from/a"), undefined);
    assert.equal((await store.read("to/b")).toString(), "new");
  });

  check("of several who create an object one succeeds", async (a, b) => {
    if (a.create === undefined || b.create === undefined) return;
    const made = await Promise.all([a, b, a, b].map((store) => store.create!("lock", bytes("x"))));
    assert.equal(made.filter(Boolean).length, 1);
    await a.remove("lock");
    assert.equal(await b.create("lock", bytes("y")), true);
  });

  check("writers at once leave one of their objects whole", async (a, b) => {
    const texts = Array.from({ length: 12 }, (_, n) => `${n}`.repeat(50_000 + n));
    await Promise.all(texts.map((text, n) => (n % 2 ? a : b).write("same", bytes(text))));
    assert.ok(texts.includes((await a.read("same")).toString()));
  });

  check("a path cannot lead out of the store", async (store) => {
    await assert.rejects(store.write("../out", bytes("x")));
    await assert.rejects(store.read("a/../../out"));
  });
}

function listings(check: Check): void {
  check("a folder is listed in order and in pages, folders with a slash", async (store) => {
    for (const path of ["f/b", "f/a", "f/c/d", "f/c/e/g", "f/B", "fa/x"]) {
      await store.write(path, bytes(path));
    }
    assert.deepEqual(await store.list("f"), ["B", "a", "b", "c/"]);
    assert.deepEqual(await store.list("f", { limit: 2 }), ["B", "a"]);
    assert.deepEqual(await store.list("f", { after: "a", limit: 1 }), ["b"]);
    assert.deepEqual(await store.list("f", { after: "c/" }), []);
    assert.deepEqual(await store.list("nothing"), []);
  });

  check("walking shows every object beneath a folder with its size", async (store) => {
    const paths = Array.from({ length: 40 }, (_, n) => `w/${n % 3}/${n}`);
    for (const path of paths) await store.write(path, bytes(path));
    await store.write("wx/no", bytes("x"));
    const seen = new Map<string, number>();
    for await (const { path, size } of store.walk("w")) seen.set(path, size);
    assert.deepEqual([...seen.keys()].sort(), [...paths].sort());
    assert.equal(seen.get("w/0/0"), 5);
  });

  check("a folder ends with its last object", async (store) => {
    await store.write("t/one/link", bytes("1"));
    await store.write("t/two/link", bytes("2"));
    await store.remove("t/one/link");
    assert.deepEqual(await store.list("t"), ["two/"]);
    await store.removeAll("t/two");
    assert.deepEqual(await store.list("t"), []);
    await store.write("t/one/link", bytes("again"));
    assert.deepEqual(await store.list("t"), ["one/"]);
  });
}

function uploads(check: Check, bytesMax: number): void {
  const at = "r/_uploads/11111111-2222-4333-8444-555555555555";
  const isConflict = (error: unknown) => kindOf(error) === "conflict";

  check("an upload grows in turns of two processes and becomes an object", async (a, b) => {
    const data = randomBytes(bytesMax);
    assert.equal(await a.uploadSize(at), undefined);
    assert.equal(await a.appendTo(at, 0, Readable.from([])), 0);
    assert.equal(await b.uploadSize(at), 0);
    const cuts = [0, 1, 70_000, Math.floor(bytesMax / 2), bytesMax];
    for (let n = 1; n < cuts.length; n++) {
      const chunk = data.subarray(cuts[n - 1], cuts[n]);
      const store = n % 2 ? a : b;
      assert.equal(await store.appendTo(at, cuts[n - 1]!, pieces(chunk)), cuts[n]);
      assert.equal(await (n % 2 ? b : a).uploadSize(at), cuts[n]);
    }
    assert.ok((await buffer(await b.openUpload(at))).equals(data));
    assert.equal(await a.stat("done/data"), undefined);
    await b.completeUpload(at, "done/data", bytesMax);
    assert.ok((await buffer(await a.open("done/data"))).equals(data));
    assert.equal(await a.uploadSize(at), undefined);
  });

  check("an upload of nothing becomes an object of nothing", async (store) => {
    await store.appendTo(at, 0, Readable.from([]));
    await store.completeUpload(at, "none", 0);
    assert.equal((await store.stat("none"))?.size, 0);
  });

  check("nothing is appended at the wrong place", async (a, b) => {
    await a.appendTo(at, 0, pieces(bytes("hello")));
    await assert.rejects(b.appendTo(at, 3, pieces(bytes("x"))), isConflict);
    await assert.rejects(a.appendTo(at, 9, pieces(bytes("x"))), isConflict);
    assert.equal((await buffer(await a.openUpload(at))).toString(), "hello");
  });

  check("an upload completes only at the size that was hashed", async (a, b) => {
    await a.appendTo(at, 0, pieces(bytes("hello")));
    await b.appendTo(at, 5, pieces(bytes(" and more")));
    await assert.rejects(a.completeUpload(at, "done", 5), isConflict);
    assert.equal(await a.stat("done"), undefined);
    await a.completeUpload(at, "done", 14);
    assert.equal((await b.read("done")).toString(), "hello and more");
  });

  check("while one appends, the others are kept off", async (a, b) => {
    await a.appendTo(at, 0, Readable.from([]));
    const slow = new Readable({ read() {} });
    slow.push(bytes("slow"));
    const appending = a.appendTo(at, 0, slow);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await assert.rejects(b.appendTo(at, 0, pieces(bytes("evil"))), isConflict);
    await assert.rejects(b.completeUpload(at, "done", 0), isConflict);
    slow.push(null);
    assert.equal(await appending, 4);
    await b.completeUpload(at, "done", 4);
    assert.equal((await a.read("done")).toString(), "slow");
  });

  check("a sender that fails leaves an upload that can go on", async (a, b) => {
    const data = randomBytes(200_000);
    await a.appendTo(at, 0, Readable.from([]));
    const failing = Readable.from(
      (function* () {
        yield data.subarray(0, 120_000);
        throw new Error("the line broke");
      })(),
    );
    await assert.rejects(a.appendTo(at, 0, failing));
    const size = (await b.uploadSize(at))!;
    assert.ok(size <= 120_000);
    await b.appendTo(at, size, pieces(data.subarray(size)));
    await b.completeUpload(at, "done", data.length);
    assert.ok((await buffer(await a.open("done"))).equals(data));
  });

  check("an aborted upload is gone, and aborting again is no error", async (a, b) => {
    await a.appendTo(at, 0, pieces(bytes("bytes")));
    await b.abortUpload(at);
    assert.equal(await a.uploadSize(at), undefined);
    await assert.rejects(a.completeUpload(at, "done", 5));
    await a.abortUpload(at);
  });

  check("unfinished uploads can be found, and are no objects", async (store) => {
    await store.appendTo(at, 0, pieces(bytes("12345")));
    const found: { upload: string; size: number }[] = [];
    for await (const { upload, size } of store.uploads("r")) found.push({ upload, size });
    assert.deepEqual(found, [{ upload: at, size: 5 }]);
    for await (const { path } of store.walk("r")) assert.fail(`${path} is visible`);
  });
}

function pieces(data: Buffer): Readable {
  const chunks: Buffer[] = [];
  for (let at = 0; at < data.length; at += 65_536) chunks.push(data.subarray(at, at + 65_536));
  return Readable.from(chunks);
}
