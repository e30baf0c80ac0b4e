import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlags } from "../../../../base/index.ts";
import { BUILD_FLAGS } from "./flags.ts";
import { isArchive, isRemote } from "./inputs.ts";
import { buildOptions } from "./options.ts";
import { cacheExportsOf, entitlements, exportersOf, frontendAttrs } from "./solve.ts";
import { attestationShorthand, parseAnnotation, parseOutput, parseSecret } from "./specs.ts";

const of = (argv: string[], environment: Record<string, string> = {}) =>
  buildOptions(parseFlags(BUILD_FLAGS, argv).values, ".", environment).options;
const attrs = (...argv: string[]) => {
  const { "image-resolve-mode": _, ...rest } = frontendAttrs(of(argv), {});
  return rest;
};
const exporters = (...argv: string[]) =>
  exportersOf(of(argv)).map(({ type, attrs: own, spec: { dest } }) => ({ type, ...own, dest }));

test("flags become BuildKit's attributes", () => {
  assert.deepEqual(
    attrs(
      ...["--target", "t", "--platform", "linux/amd64,linux/arm64", "--no-cache-filter", "a"],
      ...["--add-host", "a:1.2.3.4", "--add-host", "b=::1", "--shm-size", "64m"],
      ...["--ulimit", "nofile=1:2", "--cgroup-parent", "/c", "--network", "none"],
      ...["--label", "l=1", "--label", "empty", "--sbom", "true", "--provenance", "mode=max"],
      ...["-m", "32m", "--cpu-shares", "5", "--explain", "--debug"],
    ),
    {
      target: "t",
      platform: "linux/amd64,linux/arm64",
      "no-cache": "a",
      "add-hosts": "a=1.2.3.4,b=::1",
      "shm-size": "67108864",
      ulimit: "nofile=1:2",
      "cgroup-parent": "/c",
      "force-network-mode": "none",
      "label:l": "1",
      "label:empty": "",
      "attest:sbom": "",
      "attest:provenance": "mode=max",
      "gantry:limits": '{"Memory":33554432,"CpuShares":5}',
      "gantry:explain": "true",
      "gantry:debug": "true",
    },
  );
  assert.deepEqual(attrs("--no-cache"), { "no-cache": "" });
  assert.equal(frontendAttrs(of(["--pull"]), {})["image-resolve-mode"], "pull");
});

test("build arguments without a value come from the environment, or not at all", () => {
  const environment = { A: "1", SOURCE_DATE_EPOCH: "7" };
  const { buildArgs } = of(
    ["--build-arg", "A", "--build-arg", "B", "--build-arg", "C="],
    environment,
  );
  assert.deepEqual(buildArgs, { SOURCE_DATE_EPOCH: "7", A: "1", C: "" });
});

test("outputs have buildx' short forms, and --push and --load join them", () => {
  assert.deepEqual(parseOutput("-"), { type: "tar", attrs: {}, dest: "-" });
  assert.deepEqual(parseOutput("out"), { type: "local", attrs: {}, dest: "out" });
  assert.deepEqual(parseOutput("type=registry,name=a"), {
    ...{ type: "image", attrs: { name: "a", push: "true" } },
  });
  assert.deepEqual(exporters("-t", "a", "-t", "b:1"), [
    { type: "moby", name: "docker.io/library/a:latest,docker.io/library/b:1", dest: undefined },
  ]);
  assert.deepEqual(exporters("-t", "a", "--push", "--load", "-o", "x"), [
    { type: "local", dest: "x" },
    { type: "image", push: "true", name: "docker.io/library/a:latest", dest: undefined },
    { type: "moby", name: "docker.io/library/a:latest", dest: undefined },
  ]);
  assert.deepEqual(exporters("-o", "type=cacheonly"), []);
  assert.throws(() => exporters("--push"), /tag is needed when pushing to registry/);
  assert.throws(() => parseOutput("type=local"), /dest is required for local output/);
  assert.throws(() => parseOutput("type=local,dest=-"), /dest cannot be stdout/);
});

test("caches, secrets and entitlements", () => {
  const options = of([
    ...["--cache-to", "type=local,dest=d", "--cache-from", "user/app:cache", "--network", "host"],
    ...["--build-arg", "BUILDKIT_INLINE_CACHE=1", "--allow", "security.insecure"],
  ]);
  assert.deepEqual(options.cacheFrom, [{ type: "registry", attrs: { ref: "user/app:cache" } }]);
  assert.deepEqual(
    cacheExportsOf(options).map(({ type }) => type),
    ["local", "inline"],
  );
  assert.deepEqual(entitlements(options), ["security.insecure", "network.host"]);
  assert.deepEqual(parseSecret("id=a,src=/b"), { id: "a", path: "/b" });
  assert.deepEqual(parseSecret("type=env,id=a,src=B"), { id: "a", env: "B" });
  assert.throws(() => parseSecret("id=a,dst=x"), /unexpected key 'dst'/);
  assert.throws(() => parseSecret("src=x"), /secret missing ID/);
});

test("annotations say what they belong to, attestations may be switched off", () => {
  assert.deepEqual(parseAnnotation("a.b/c=d=e"), { "annotation.a.b/c": "d=e" });
  assert.deepEqual(parseAnnotation("index,manifest[linux/amd64]:k=v".replace("index,", "")), {
    "annotation-manifest[linux/amd64].k": "v",
  });
  assert.throws(() => parseAnnotation("index[linux/amd64]:k=v"), /cannot have a platform/);
  assert.throws(() => of(["--annotation", "a=b", "-o", "x"]), /needs an output that is an image/);
  assert.equal(attestationShorthand("sbom", "false"), "type=sbom,disabled=true");
  assert.deepEqual(attrs("--sbom=false"), {});
});

test("what cannot be done is refused, and what has no effect is warned of", () => {
  for (const [argv, pattern] of [
    [["--progress", "x"], /invalid progress mode x/],
    [["--network", "mine"], /network mode "mine" not supported/],
    [["--no-cache", "--no-cache-filter", "a"], /cannot currently be used together/],
    [["--security-opt", "x"], /not supported/],
    [["--call", "x"], /unknown call "x"/],
    [["--attest", "type=x"], /unknown attestation type/],
    [["--add-host", "x"], /bad format for add-host/],
  ] as const) {
    assert.throws(() => attrs(...argv), pattern);
  }
  const { warnings } = buildOptions(
    parseFlags(BUILD_FLAGS, ["--compress", "--rm=false"]).values,
    ".",
    {},
  );
  assert.equal(warnings.length, 2);
});

test("a call asks the front end and has no outputs", () => {
  assert.equal(attrs("--check")["requestid"], "frontend.lint");
  assert.equal(attrs("--call=outline,format=json")["requestid"], "frontend.outline");
  assert.deepEqual(exporters("--check", "-t", "a"), []);
  assert.equal(of(["--call=build"]).call, undefined);
});

test("addresses and archives are told from folders and Dockerfiles", () => {
  for (const text of [
    "https://a/b",
    "git@host:a/b.git",
    "github.com/a/b",
    "ssh://a/b",
    "me@host:x",
  ]) {
    assert.ok(isRemote(text), text);
  }
  for (const text of [".", "/a/b", "a@b", "c:/x", "github.community/a"])
    assert.ok(!isRemote(text), text);
  assert.ok(isArchive(Buffer.from([0x1f, 0x8b, 0x08, 0])));
  assert.ok(!isArchive(Buffer.from("FROM scratch\n".repeat(100))));
  assert.ok(!isArchive(Buffer.alloc(1024)));
});
