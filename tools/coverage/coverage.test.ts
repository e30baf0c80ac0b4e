// The coverage tools on small tables, and their rule that no refusal stands for nothing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { routes, type Schema } from "../../src/protocol/index.ts";
import { hasPath } from "./answers.ts";
import { apiRows, isRead } from "./api-rows.ts";
import { cliRows, difference, parseFlagFact } from "./cli-rows.ts";
import { type Field, fieldPaths, fieldsOf, type Operation } from "./facts.ts";
import { namesFlag } from "./flag-use.ts";
import { HandlerSources } from "./handlers.ts";
import { claimsOf, ociRowNames, ociRows, unknownClaims } from "./oci-rows.ts";
import { type Row, readRefusals, report, summarise } from "./rows.ts";

const known = new Map<string, Field[]>([
  ["Box", fieldsOf("(embeds):Base Items:[Item] ByName:map<Item> Plain")],
  ["Base", fieldsOf("Id")],
  ["Item", fieldsOf("Size Box:Box Weights[].Value")],
]);

test("fields become paths: embedded ones, lists without a step, maps with a star", () => {
  assert.deepEqual(fieldPaths(fieldsOf("Box:Box"), known), [
    ...["Box", "Box.Id", "Box.Items", "Box.Items.Size", "Box.Items.Box", "Box.Items.Weights.Value"],
    ...["Box.ByName", "Box.ByName.*.Size", "Box.ByName.*.Box", "Box.ByName.*.Weights.Value"],
    "Box.Plain",
  ]);
});

test("a field is read when the body's schema has it, and unknown beneath what is not decoded", () => {
  const { body } = routes.containerCreate;
  const read = (path: string) => isRead(body as Schema<unknown>, path.split("."));
  assert.equal(read("HostConfig.Mounts.BindOptions.Propagation"), true);
  assert.equal(read("NetworkingConfig.EndpointsConfig.*.IPAMConfig.IPv4Address"), true);
  assert.equal(read("HostConfig.Mounts.BindOptions.Colour"), false);
  assert.equal(
    isRead(routes.volumeCreate.body as Schema<unknown>, ["ClusterVolumeSpec", "a"]),
    undefined,
  );
});

test("a field of an answer is there when any item of a list has it", () => {
  const answer = [{ Id: "a" }, { Id: "b", Networks: { bridge: { Gateway: "" } } }];
  assert.equal(hasPath(answer, ["Networks", "*", "Gateway"]), true);
  assert.equal(hasPath(answer, ["Networks", "*", "Mac"]), false);
});

test("the parameters that a handler looks at are found in its source", () => {
  const handlers = new HandlerSources([
    "  one: async ({ query }) => list(query.all),\n" +
      '  two: async ({ query, headers }) => list(query, headers["x-some"]),\n' +
      "const list = (from) => from.size;\n",
  ]);
  assert.equal(handlers.usesQuery("one", "all"), true);
  assert.equal(handlers.usesQuery("one", "limit"), false);
  assert.equal(handlers.usesQuery("two", "size"), true);
  assert.equal(handlers.usesQuery("two", "colour"), undefined);
  assert.equal(handlers.usesQuery("none", "all"), undefined);
  assert.equal(handlers.usesHeader("two", "X-Some"), true);
  assert.equal(handlers.usesHeader("one", "X-Some"), false);
});

test("an endpoint's rows tell what is there, what is missing and what is not known", () => {
  const operation = (row: Partial<Operation>): Operation => ({
    ...{ method: "GET", path: "/x", id: "X", swarm: false, query: "", headers: "", body: "" },
    ...row,
  });
  const rows = apiRows({
    operations: [
      operation({
        path: "/containers/{id}/top",
        id: "ContainerTop",
        query: "ps_args:string no:int",
      }),
      operation({ path: "/nowhere" }),
      operation({ method: "POST", path: "/nodes/{id}/update", swarm: true, query: "version:int" }),
    ],
    definitions: new Map([
      ["ContainerTopResponse", fieldsOf("Titles Processes Colour Colour.Hue")],
    ]),
    handlers: new HandlerSources(["  containerTop: ({ query }) => top(query.ps_args),\n"]),
    words: new Set(),
    renderedWords: new Set(["Processes", "Hue"]),
    seen: new Map([["ContainerTop", new Set(["Titles"])]]),
  });
  assert.deepEqual(
    rows.map(({ name, status }) => `${status} ${name}`),
    [
      "have GET /containers/{id}/top",
      "have GET /containers/{id}/top query ps_args",
      "missing GET /containers/{id}/top query no",
      "have GET /containers/{id}/top answer Titles",
      "unchecked GET /containers/{id}/top answer Processes",
      "missing GET /containers/{id}/top answer Colour",
      "missing GET /containers/{id}/top answer Colour.Hue",
      "missing GET /nowhere",
      "have POST /nodes/{id}/update",
    ],
  );
});

test("a flag must have docker's name, letter, kind of value and default", () => {
  const flags = {
    all: { type: "bool", shorthand: "a" },
    last: { type: "int", shorthand: "n", default: -1 },
    network: { type: "string", aliases: ["net"] },
  } as const;
  const why = (word: string) => difference(parseFlagFact(word), flags);
  assert.equal(why("-a/--all"), undefined);
  assert.equal(why("-n/--last:int=-1"), undefined);
  assert.equal(why("--net(hidden=--network)"), undefined);
  assert.equal(why("-l/--last:int=-1"), "no -l");
  assert.equal(why("--all:string"), "a switch, docker's takes a value");
  assert.equal(why("--network"), "wants a value, docker's is a switch");
  assert.equal(why("--last:int=0"), "defaults to -1, docker's to 0");
  assert.equal(why("--colour"), "no flag");
});

test("a flag that is only declared shows no sign of use", () => {
  const declared = 'flags: { "no-trunc": { type: "bool" }, cluster: { type: "bool" } }\n';
  assert.equal(namesFlag(declared, "no-trunc"), false);
  assert.equal(namesFlag(declared, "cluster"), false);
  assert.equal(namesFlag(`${declared}show(values["no-trunc"])`, "no-trunc"), true);
  assert.equal(namesFlag(`${declared}show(values.cluster)`, "cluster"), true);
  assert.equal(namesFlag(`${declared}const { quiet, cluster } = values;`, "cluster"), true);
});

test("commands are found under every spelling, and what is not there is missing", async () => {
  const fact = { group: "docker", isGroup: false, swarm: false };
  const rows = await cliRows([
    {
      ...fact,
      path: "docker container ls",
      aliases: ["docker ps", "docker pst"],
      flags: "-q/--quiet",
    },
    { ...fact, path: "docker levitate", aliases: [], flags: "" },
  ]);
  assert.deepEqual(
    rows.map(({ name, status }) => `${status} ${name}`),
    [
      "have docker container ls",
      "have docker container ls alias docker ps",
      "missing docker container ls alias docker pst",
      "have docker container ls --quiet",
      "missing docker levitate",
    ],
  );
});

test("the report folds fields within fields, and its last line counts", () => {
  const row = (name: string, status: Row["status"]) => ({ name, status });
  const rows = [
    row("GET /a", "have"),
    row("GET /a answer B", "missing"),
    row("GET /a answer B.C", "missing"),
    row("GET /a answer D", "unchecked"),
    row("GET /e", "missing"),
  ];
  const refusals = [
    { pattern: "GET /e*", reason: "no e" },
    { pattern: "GET /f", reason: "no f" },
  ];
  assert.deepEqual(report(summarise(rows, refusals)), [
    "missing\tGET /a answer B and 1 within it",
    "unchecked\tGET /a answer D",
    "needless\tGET /f\ta refusal that refuses nothing",
    "2 missing, 1 unchecked",
    "1 of 5, 1 refused with a reason",
  ]);
});

test("a row of the runtime's table is there when a test names it, and only with plain strings", () => {
  const names = ociRowNames([
    ["config", "process.cwd", ""],
    ["runc-cmd", "(global)", "--root:path(/run/runc) --all/-a(hidden)"],
    ["config", "root", ""],
  ]);
  assert.deepEqual(names, [
    ...["config process.cwd", "runc-cmd (global)", "runc-cmd (global) --root"],
    ...["runc-cmd (global) --all", "config root"],
  ]);
  const source =
    'test("x" + proves("runc-cmd", "(global)", "(global) --root"));\n' +
    'const row = proves(\n  "config",\n  "process.cwd",\n  "process.cmd",\n);\n' +
    'proves("config", root);\n';
  const claims = new Map([["a.test.ts", claimsOf(source)]]);
  assert.deepEqual(unknownClaims(claims, names), ["a.test.ts: config process.cmd"]);
  assert.deepEqual(
    ociRows(claims, names).map(({ name, status }) => `${status} ${name}`),
    [
      ...["have oci config process.cwd", "have oci runc-cmd (global)"],
      ...["have oci runc-cmd (global) --root", "missing oci runc-cmd (global) --all"],
      "missing oci config root",
    ],
  );
});

test("no test claims a row that the runtime's table does not have", () => {
  assert.deepEqual(unknownClaims(), []);
});

test("every refusal refuses something, and has a reason", async () => {
  const refusals = readRefusals();
  const rows = [...apiRows(), ...(await cliRows()), ...ociRows()];
  const summary = summarise(rows, refusals);
  assert.deepEqual(summary.needless, []);
  assert.deepEqual(
    refusals.filter(({ reason }) => reason.length < 10),
    [],
  );
});
