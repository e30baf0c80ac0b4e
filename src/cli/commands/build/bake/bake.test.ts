// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the templates are those of bake files

import assert from "node:assert/strict";
import { test } from "node:test";
import { composeConfig, interpolated } from "./compose-config.ts";
import { jsonConfig } from "./json-config.ts";
import { applyOverrides } from "./overrides.ts";
import { planText } from "./print.ts";
import { inOrder, resolveTargets } from "./resolve.ts";
import { addConfig, type BakeConfig, emptyConfig } from "./target.ts";
import { targetOptions } from "./target-options.ts";

const NO_SWITCHES = { all: { push: false, load: false }, own: new Map() };

function json(value: object, environment: Record<string, string> = {}): BakeConfig {
  const variables = { given: {}, environment };
  return jsonConfig(JSON.stringify(value), "docker-bake.json", { variables, before: new Map() });
}

test("what is inherited lies beneath: texts are replaced, maps joined, lists replaced", () => {
  const config = json({
    target: {
      base: { context: "src", args: { A: "1", B: "1" }, tags: ["base"], secret: ["id=a"] },
      app: { inherits: ["base"], args: { B: "2" }, tags: ["app"], secret: ["id=b"] },
    },
  });
  assert.deepEqual(resolveTargets(config, ["app"]).targets.get("app"), {
    context: "src",
    args: { A: "1", B: "2" },
    tags: ["app"],
    secret: ["id=a", "id=b"],
  });
});

test("an override file lies over the file before it, and groups are joined", () => {
  const all = emptyConfig();
  addConfig(
    all,
    json({ group: { default: { targets: ["a"] } }, target: { a: { target: "x" }, b: {} } }),
  );
  addConfig(all, json({ group: { default: { targets: ["b"] } }, target: { a: { target: "y" } } }));
  const { targets, wanted } = resolveTargets(all, []);
  assert.equal(targets.get("a")!.target, "y");
  assert.deepEqual([...wanted], ["a", "b"]);
});

test("variables come from --var, then the environment, then the file", () => {
  const file = {
    variable: { TAG: { default: "dev" }, NAME: { default: "app-${TAG}" } },
    target: { a: { tags: ["${NAME}:${TAG}", "$${TAG}"] } },
  };
  assert.deepEqual(json(file).targets.get("a")!.tags, ["app-dev:dev", "${TAG}"]);
  assert.deepEqual(json(file, { TAG: "v1" }).targets.get("a")!.tags, ["app-v1:v1", "${TAG}"]);
});

test("a matrix makes a target of each combination and a group of them all", () => {
  const config = json({
    target: {
      app: {
        name: "app-${os}-${item.v}",
        matrix: { os: ["a", "b"], item: [{ v: "1" }, { v: "2" }] },
        args: { V: "${item.v}" },
      },
    },
  });
  const { wanted, targets } = resolveTargets(config, ["app"]);
  assert.deepEqual([...wanted].sort(), ["app-a-1", "app-a-2", "app-b-1", "app-b-2"]);
  assert.deepEqual(targets.get("app-b-2")!.args, { V: "2" });
});

test("expressions of HCL are refused with what to do", () => {
  assert.throws(() => json({ target: { a: { tags: ["${upper(TAG)}"] } } }), /bake --print/);
  assert.throws(() => json({ function: { f: {} } }), /functions are not supported/);
  assert.throws(() => json({ target: { a: { tag: ["x"] } } }), /tag is not a field of a target/);
});

test("loops of groups, of inheritance and of links are named", () => {
  const groups = json({ group: { a: { targets: ["b"] }, b: { targets: ["a"] } } });
  assert.throws(() => resolveTargets(groups, ["a"]), /infinite loop: group a → b → a/);
  const parents = json({ target: { a: { inherits: ["b"] }, b: { inherits: ["a"] } } });
  assert.throws(() => resolveTargets(parents, ["a"]), /infinite loop: target a → b → a/);
  const links = json({
    target: { a: { contexts: { x: "target:b" } }, b: { contexts: { x: "target:a" } } },
  });
  assert.throws(
    () => inOrder(resolveTargets(links, ["a"]).targets),
    /infinite loop: target a → b → a/,
  );
});

test("a target that is not there is an error with a hint", () => {
  const config = json({ target: { frontend: {} } });
  assert.throws(() => resolveTargets(config, ["fronted"]), /did you mean frontend/);
});

test("linked targets take part but leave nothing behind", () => {
  const config = json({
    target: { base: { tags: ["base"] }, app: { contexts: { b: "target:base" } } },
  });
  const resolved = resolveTargets(config, ["app"]);
  assert.deepEqual(inOrder(resolved.targets), ["base", "app"]);
  const options = targetOptions(resolved, {
    ...{ environment: {}, switches: NO_SWITCHES, explain: false, allow: [] },
  });
  assert.deepEqual(options.get("base")!.outputs, [{ type: "cacheonly", attrs: {} }]);
  assert.deepEqual(options.get("app")!.namedContexts, {});
});

test("a file gets no privileges that the caller does not allow", () => {
  const config = json({ target: { a: { network: "host", entitlements: ["security.insecure"] } } });
  const options = (...allow: string[]) =>
    targetOptions(resolveTargets(config, ["a"]), {
      ...{ environment: {}, switches: NO_SWITCHES, explain: false, allow },
    });
  assert.throws(
    () => options("network.host"),
    /asks for security\.insecure: give --allow security/,
  );
  assert.deepEqual(options("network.host", "security.insecure").get("a")!.allow, [
    "security.insecure",
  ]);
});

test("--set replaces, adds, and reaches targets by pattern", () => {
  const config = json({
    target: { "app-a": { tags: ["x", "y"], args: { A: "1" } }, "app-b": {}, other: {} },
  });
  const { targets } = resolveTargets(config, ["app-a", "app-b", "other"]);
  const { targets: after, switches } = applyOverrides(
    targets,
    [
      "app-*.args.A=2",
      "app-a.tags=one",
      "app-a.tags=two",
      "app-b.platform+=linux/arm64",
      "other.push=true",
      "*.labels.l=v",
      "app-b.args.FROM_ENV",
    ],
    { FROM_ENV: "e" },
  );
  assert.deepEqual(after.get("app-a"), {
    tags: ["one", "two"],
    args: { A: "2" },
    labels: { l: "v" },
  });
  assert.deepEqual(after.get("app-b")!.platforms, ["linux/arm64"]);
  assert.deepEqual(after.get("app-b")!.args, { A: "2", FROM_ENV: "e" });
  assert.deepEqual(switches.get("other"), { push: true });
  assert.throws(() => applyOverrides(targets, ["none.tags=x"], {}), /could not find any target/);
});

test("what --print writes is a bake file that means the same", () => {
  const config = json({
    group: { default: { targets: ["a"] } },
    target: {
      p: { args: { X: "1" } },
      a: { inherits: ["p"], output: [{ type: "local", dest: "out" }] },
    },
  });
  const text = planText(resolveTargets(config, []), NO_SWITCHES);
  const again = resolveTargets(json(JSON.parse(text) as object), []);
  assert.equal(planText(again, NO_SWITCHES), text);
  assert.deepEqual(again.targets.get("a"), {
    ...{
      context: ".",
      dockerfile: "Dockerfile",
      args: { X: "1" },
      output: ["type=local,dest=out"],
    },
  });
});

test("services of a compose file that are built are targets", async () => {
  const text = `
x-common: &common
  args: [ "A=1", FROM_ENV ]
services:
  web.app:
    image: registry/web:\${TAG:-latest}
    build:
      <<: *common
      context: ./web
      dockerfile_inline: |
        FROM scratch
      target: prod
      additional_contexts: { base: "service:db.x" }
      secrets: [ token ]
      ssh: [ default ]
      shm_size: 64m
      ulimits: { nofile: 100, nproc: { soft: 1, hard: 2 } }
      extra_hosts: [ "a:1.2.3.4" ]
      x-bake:
        tags: one two
        platforms: [ linux/arm64 ]
  db.x: { build: ./db }
  redis: { image: redis }
secrets:
  token: { environment: TOKEN }
`;
  const config = await composeConfig(text, "compose.yaml", { FROM_ENV: "e" });
  assert.deepEqual([...config.groups], [["default", ["web_app", "db_x"]]]);
  assert.deepEqual(config.targets.get("web_app"), {
    context: "./web",
    "dockerfile-inline": "FROM scratch\n",
    target: "prod",
    "shm-size": "64m",
    args: { A: "1", FROM_ENV: "e" },
    contexts: { base: "target:db_x" },
    "extra-hosts": { a: "1.2.3.4" },
    tags: ["one", "two"],
    secret: ["id=token,env=TOKEN"],
    ssh: ["default"],
    ulimits: ["nofile=100", "nproc=1:2"],
    platforms: ["linux/arm64"],
  });
  await assert.rejects(
    composeConfig("services: { a: { build: { isolation: hyperv } } }", "c.yml", {}),
    /build.isolation is not supported in bake/,
  );
});

test("compose's interpolation has its defaults, alternatives and errors", () => {
  const environment = { SET: "v", EMPTY: "" };
  const of = (text: string) => interpolated(text, environment);
  assert.equal(of("$SET ${SET} $$SET"), "v v $SET");
  assert.equal(of("${NONE:-d} ${EMPTY:-d} ${EMPTY-d}|${NONE-${SET}}"), "d d |v");
  assert.equal(of("${SET:+a}${EMPTY:+a}${EMPTY+b}"), "ab");
  assert.throws(() => of("${NONE:?it is needed}"), /NONE is missing a value: it is needed/);
});
