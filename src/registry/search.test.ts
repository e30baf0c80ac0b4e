import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { RegistryContent, RegistryEvent } from "./contract.ts";
import { RegistryError } from "./errors.ts";
import { ranked, SearchIndex } from "./search.ts";

interface Repository {
  tags: string[];
  annotation?: string;
  label?: string;
}

/** A content that counts what is asked of it. */
function contentOf(repositories: Record<string, Repository>) {
  const asked = { listings: 0, manifests: 0 };
  const digest = `sha256:${"a".repeat(64)}`;
  const found = (name: string): Repository => {
    const repository = repositories[name];
    if (!repository) throw new RegistryError("NAME_UNKNOWN", "repository name not known");
    return repository;
  };
  const config = (name: string) =>
    Buffer.from(
      JSON.stringify({
        config: { Labels: { "org.opencontainers.image.description": found(name).label } },
      }),
    );
  const content = {
    async repositories({ limit = Infinity, after = "" } = {}) {
      asked.listings++;
      const names = Object.keys(repositories)
        .sort()
        .filter((name) => name > after);
      return { names: names.slice(0, limit), more: names.length > limit };
    },
    async tags(name: string, { limit = Infinity, after = "" } = {}) {
      const tags = found(name)
        .tags.filter((tag) => tag > after)
        .sort();
      return { tags: tags.slice(0, limit), more: tags.length > limit };
    },
    async manifest(name: string) {
      asked.manifests++;
      const { annotation, label } = found(name);
      const annotations = { "org.opencontainers.image.description": annotation };
      const descriptor = label === undefined ? {} : { digest, size: 100 };
      const raw = Buffer.from(JSON.stringify({ annotations, config: descriptor }));
      return { digest, mediaType: "", raw };
    },
    blob: async (name: string) => ({ digest, size: config(name).length }),
    openBlob: async (name: string) => Readable.from([config(name)]),
  } as unknown as RegistryContent;
  return { content, asked };
}

function event(action: RegistryEvent["action"], repository: string): RegistryEvent {
  return { action, repository } as RegistryEvent;
}

test("names come before descriptions, and the name itself before all", () => {
  const about: Record<string, string> = { "x/cache": "in front of redis" };
  const names = ["a/redis-tools", "my/redis", "redis", "x/cache", "y/other", "z/my-redis"];
  assert.deepEqual(
    ranked(names, ["redis"], (name) => about[name] ?? ""),
    ["redis", "my/redis", "a/redis-tools", "z/my-redis", "x/cache"],
  );
  assert.deepEqual(
    ranked(names, ["redis", "front"], (name) => about[name] ?? ""),
    ["x/cache"],
  );
});

test("a description is the annotation, or else the label", async () => {
  const { content } = contentOf({
    "a/annotated": { tags: ["latest", "0"], annotation: " keeps\n things  cold ", label: "no" },
    "a/labelled": { tags: ["1"], label: "keeps things warm" },
    "a/silent": { tags: [] },
  });
  const found = await new SearchIndex(content).find("a/", 10);
  assert.deepEqual(found, [
    { name: "a/annotated", description: "keeps things cold" },
    { name: "a/labelled", description: "keeps things warm" },
    { name: "a/silent", description: "" },
  ]);
  const cold = await new SearchIndex(content).find("COLD keeps", 10);
  assert.deepEqual(
    cold.map(({ name }) => name),
    ["a/annotated"],
  );
});

test("what the caller may not see is not found", async () => {
  const { content } = contentOf({ "a/open": { tags: ["1"] }, "a/secret": { tags: ["1"] } });
  const found = await new SearchIndex(content).find("a", 10, (name) => name === "a/open");
  assert.deepEqual(
    found.map(({ name }) => name),
    ["a/open"],
  );
});

test("nothing is asked twice until something was pushed or time has passed", async () => {
  let now = 1_000_000;
  const repositories: Record<string, Repository> = { "a/b": { tags: ["1"], annotation: "one" } };
  const { content, asked } = contentOf(repositories);
  const index = new SearchIndex(content, {}, () => now);
  await index.find("a", 10);
  await index.find("b", 10);
  assert.deepEqual(asked, { listings: 1, manifests: 1 });
  repositories["a/b"] = { tags: ["1"], annotation: "two" };
  repositories["a/c"] = { tags: ["1"] };
  index.observer.event?.(event("push", "a/b"));
  index.observer.event?.(event("push", "a/c"));
  const found = await index.find("a", 10);
  assert.deepEqual(found, [
    { name: "a/b", description: "two" },
    { name: "a/c", description: "" },
  ]);
  now += 3_600_000;
  delete repositories["a/c"];
  assert.deepEqual(
    (await index.find("a", 10)).map(({ name }) => name),
    ["a/b"],
  );
});

test("a listing that fails is an error once, and asked again", async () => {
  const { content } = contentOf({ "a/b": { tags: ["1"] } });
  let broken = true;
  const flaky = new Proxy(content, {
    get(target, property) {
      if (property === "repositories" && broken) return () => Promise.reject(new Error("no store"));
      return Reflect.get(target, property) as unknown;
    },
  });
  const index = new SearchIndex(flaky);
  await assert.rejects(index.find("a", 10), /no store/);
  broken = false;
  assert.equal((await index.find("a", 10)).length, 1);
});
