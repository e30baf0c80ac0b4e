import assert from "node:assert/strict";
import { test } from "node:test";
import { nameInNamespace, upstreamPlace } from "./cache-names.ts";
import { parseCacheOptions } from "./cache-options.ts";

const hub = { prefix: "cache/docker.io", registry: "docker.io" };
const second = { prefix: "cache/second", registry: "second.example.com" };
const team = { prefix: "cache/second/team", registry: "registry.example.com:5000" };
const rest = {
  prefix: "",
  registry: "third.example.com",
  namespaces: ["third.example.com", "third"],
};

test("the longest prefix says whose a name is", () => {
  const place = (name: string) => upstreamPlace([hub, second, team], name);
  assert.deepEqual(place("cache/second/owner/app"), {
    upstream: second,
    name: "cache/second/owner/app",
    repository: "owner/app",
  });
  assert.equal(place("cache/second/team/app")?.upstream, team);
  assert.equal(place("cache/second/team/app")?.repository, "app");
  assert.equal(place("cache/second/teams")?.upstream, second);
  assert.equal(place("cache/second"), undefined);
  assert.equal(place("cached/app"), undefined);
  assert.equal(upstreamPlace([hub, rest], "any/name")?.repository, "any/name");
});

test("a short name at Docker Hub is one of library's, and kept under one name", () => {
  for (const name of ["cache/docker.io/alpine", "cache/docker.io/library/alpine"]) {
    const place = upstreamPlace([hub], name);
    assert.equal(place?.repository, "library/alpine");
    assert.equal(place?.name, "cache/docker.io/library/alpine");
  }
  assert.equal(upstreamPlace([second], "cache/second/alpine")?.repository, "alpine");
});

test("a namespace names the registry that is meant", () => {
  const upstreams = [hub, team, rest];
  const name = (namespace: string) => nameInNamespace(upstreams, namespace, "a/b");
  assert.equal(name("docker.io"), "cache/docker.io/a/b");
  assert.equal(name("registry.example.com:5000"), "cache/second/team/a/b");
  assert.equal(name("third"), "a/b");
  assert.equal(name("second.example.com"), undefined);
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
