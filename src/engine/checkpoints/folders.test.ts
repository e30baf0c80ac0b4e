import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ContainerRecord } from "../containers/record.ts";
import { listFolders, makeFolder } from "./folders.ts";

const container = (id: string) => ({ id, name: `name-${id}` }) as ContainerRecord;

test("what a killed daemon left of a checkpoint is not listed, and is begun anew", async () => {
  const parent = await mkdtemp(join(tmpdir(), "gantry-checkpoints-"));
  try {
    const add = async (name: string, files: Record<string, string>) => {
      await mkdir(join(parent, name));
      for (const [file, text] of Object.entries(files)) {
        await writeFile(join(parent, name, file), text);
      }
    };
    await add("whole", { "gantry.json": '{"containerId":"a"}', "inventory.img": "x" });
    await add("begun", { "gantry.json": '{"containerId":"a"}', "pages-1.img": "x" });
    await add("empty", {});
    await add("other", { "diary.txt": "mine" });
    const listed = (await listFolders(parent)).map(({ Name }) => Name);
    assert.deepEqual(listed.toSorted(), ["empty", "other", "whole"]);

    for (const name of ["begun", "empty"]) {
      const folder = await makeFolder(parent, name, container("a"));
      assert.deepEqual(await readdir(folder), []);
    }
    await add("theirs", { "gantry.json": '{"containerId":"b"}' });
    for (const name of ["whole", "other", "theirs"]) {
      await assert.rejects(makeFolder(parent, name, container("a")), { kind: "conflict" });
    }
    assert.deepEqual(await readdir(join(parent, "other")), ["diary.txt"]);
  } finally {
    await rm(parent, { recursive: true });
  }
});
