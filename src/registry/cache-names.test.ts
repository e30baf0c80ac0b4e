import assert from "node:assert/strict";
import { test } from "node:test";
import { nameInNamespace, upstreamPlace } from "./cache-names.ts";
import { parseCacheOptions } from "./cache-options.ts";

const hub = { prefix: "cache/docker.io", registry: "docker.io" };
const ghcr = { prefix: "cache/ghcr.io", registry: "ghcr.io" };
const team = { prefix: "cache/ghcr.io/team", registry: "registry.example.com:5000" };
const rest = { prefix: "", registry: "quay.io", namespaces: ["quay.io", "quay"] };

test("the longest prefix says whose a name is", () => {
  const place = (name: string) => upstreamPlace([hub, ghcr, team], name);
  assert.deepEqual(place("cache/ghcr.io/owner/app"), {
    upstream: ghcr,
    name: "cache/ghcr.io/owner/app",
    repository: "owner/app",
  });
  assert.equal(place("cache/ghcr.io/team/app")?.upstream, team);
  assert.equal(place("cache/ghcr.io/team/app")?.repository, "app");
  assert.equal(place("cache/ghcr.io/teams")?.upstream, ghcr);
  assert.equal(place("cache/ghcr.io"), undefined);
  assert.equal(place("cached/app"), undefined);
  assert.equal(upstreamPlace([hub, rest], "any/name")?.repository, "any/name");
});

test("a short name at Docker Hub is one of library's, and kept under one name", () => {
  for (const name of ["cache/docker.io/alpine", "cache/docker.io/library/alpine"]) {
    const place = upstreamPlace([hub], name);
    assert.equal(place?.repository, "library/alpine");
    assert.equal(place?.name, "cache/docker.io/library/alpine");
  }
  assert.equal(upstreamPlace([ghcr], "cache/ghcr.io/alpine")?.repository, "alpine");
});

test("a namespace names the registry that is meant", () => {
  const upstreams = [hub, team, rest];
  const name = (namespace: string) => nameInNamespace(upstreams, namespace, "a/b");
  assert.equal(name("docker.io"), "cache/docker.io/a/b");
  assert.equal(name("registry.example.com:5000"), "cache/ghcr.io/team/a/b");
  assert.equal(name("quay"), "a/b");
  assert.equal(name("ghcr.io"), undefined);
});

test("options of the cache that make no sense are refused", () => {
  assert.equal(parseCacheOptions({ upstreams: [hub, rest] }).upstreams.length, 2);
  const refused: [unknown, RegExp][] = [
    [null, /want an object/],
    [{}, /upstreams must be a list/],
    [{ upstreams: [hub, hub] }, /two upstreams/],
    [{ upstreams: [{ prefix: "a" }] }, /no host/],
    [{ upstreams: [{ registry: "a.b" }] }, /no prefix/],
    [{ upstreams: [{ ...hub, registry: "https://docker.io" }] }, /no host/],
    [{ upstreams: [{ ...hub, prefix: "Up/../x" }] }, /no name/],
    [{ upstreams: [{ ...hub, username: "a" }] }, /come together/],
    [{ upstreams: [{ ...hub, pasword: "a" }] }, /unknown option "pasword"/],
    [{ upstreams: [hub], unusedSeconds: -1 }, /whole number/],
    [{ upstreams: [hub], more: 1 }, /unknown option "more"/],
  ];
  for (const [options, message] of refused) {
    assert.throws(() => parseCacheOptions(options), { kind: "invalid", message });
  }
});
