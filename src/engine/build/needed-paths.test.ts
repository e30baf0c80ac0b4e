import assert from "node:assert/strict";
import { test } from "node:test";
import { makeGraph, parseDockerfile, planBuild } from "../../build/index.ts";
import { neededPaths } from "./needed-paths.ts";

const buildPlatform = { os: "linux", architecture: "amd64" };

async function needed(text: string, target?: string) {
  const namedContexts = ["other"];
  const options = { buildPlatform, namedContexts, ...(target && { target }) };
  const plan = planBuild(parseDockerfile(text), options);
  const resolver = { image: () => Promise.reject(new Error("no image is named")) };
  const graph = await makeGraph(plan, resolver, { signal: new AbortController().signal });
  return Object.fromEntries(neededPaths([graph]));
}

test("only what the needed stages name is needed", async () => {
  const text =
    "FROM scratch AS unused\nCOPY huge /\nFROM scratch\nCOPY src/*.c ./lib/ /out/\n" +
    "ADD data.tar /d\nRUN --mount=type=bind,source=conf/x,target=/x true\n";
  assert.deepEqual(await needed(text), { "": ["conf/x", "data.tar", "lib", "src/*.c"] });
  assert.deepEqual(await needed(text, "unused"), { "": ["huge"] });
});

test("all of a context is needed where its root is copied", async () => {
  assert.deepEqual(await needed("FROM scratch\nCOPY a /\nCOPY . /all\n"), { "": [] });
});

test("a context is not needed for mounts that read none of it", async () => {
  const text =
    "FROM scratch\nRUN --mount=type=cache,target=/c --mount=type=secret,id=s --mount=type=tmpfs,target=/t x\n";
  assert.deepEqual(await needed(text), {});
});

test("named contexts, as sources and as bases", async () => {
  const copied = await needed("FROM scratch\nCOPY --from=other --parents a/./b/* /\n");
  assert.deepEqual(copied, { other: ["a/b/*"] });
  assert.deepEqual(await needed("FROM other\n"), { other: [] });
});
