import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import type { Storage } from "../../storage/index.ts";
import { ensureHelloWorld, helloLayer } from "./hello-world.ts";

function fakeStorage() {
  const names = new Map<string, string>();
  const calls: string[] = [];
  const storage = {
    lease: () => ({ release: () => calls.push("release") }),
    layers: {
      apply: async (tar: Readable, options: { diffId: string }) => {
        calls.push(`apply ${(await buffer(tar)).length} ${options.diffId}`);
      },
    },
    images: {
      resolve: (name: string) => names.get(name),
      put: async (raw: Uint8Array) => `sha256:${raw.length}`,
      tag: async (id: string, name: string) => void names.set(name, id),
    },
  };
  return { storage: storage as unknown as Storage, names, calls };
}

test("the same program always makes the same layer", async () => {
  const [one, two] = [await helloLayer(Buffer.from("x")), await helloLayer(Buffer.from("x"))];
  assert.deepEqual(one, two);
  assert.equal(one.length % 512, 0);
});

test("hello-world is made once, whatever spelling asks for it first", async (t) => {
  const programPath = join(tmpdir(), `hello-${process.pid}`);
  await writeFile(programPath, "program");
  t.after(() => rm(programPath, { force: true }));
  const { storage, names, calls } = fakeStorage();
  const asked = ["hello-world", "docker.io/library/hello-world:latest", "hello-world:latest"];
  await Promise.all(asked.map((ref) => ensureHelloWorld(storage, ref, { programPath })));
  await ensureHelloWorld(storage, "hello-world", { programPath });
  assert.deepEqual([...names.keys()], ["docker.io/library/hello-world:latest"]);
  assert.equal(calls.filter((call) => call.startsWith("apply")).length, 1);
});

test("another image of a similar name is left to others", async () => {
  const { storage, calls } = fakeStorage();
  for (const ref of ["example/hello-world", "hello-world:linux", "alpine", "hello-world@bad"]) {
    await ensureHelloWorld(storage, ref, { programPath: "/nonexistent" });
  }
  assert.deepEqual(calls, []);
});
