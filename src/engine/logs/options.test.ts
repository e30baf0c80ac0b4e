import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../../base/index.ts";
import { extraAttributes, type LogInfo, logTag } from "./attributes.ts";
import { logPlace, monitorLog } from "./policy.ts";
import { compileSearch } from "./search.ts";
import { checkLogOptions } from "./validate.ts";

const info = (Type: string, Config: Record<string, string> = {}): LogInfo => ({
  id: "0123456789abcdef0123",
  name: "web",
  imageId: "sha256:fedcba9876543210",
  imageName: "img:1",
  created: "2024-01-02T03:04:05Z",
  path: "/bin/sh",
  args: ["-c", "true"],
  config: { Labels: { a: "1", b: "2", "x.y": "3" }, Env: ["HOME=/root", "K=v=w"] },
  hostConfig: { LogConfig: { Type, Config } },
});
const policy = (type: string, options: Record<string, string> = {}) =>
  monitorLog(info(type, options), "/d");

test("json-file is docker's where a size is given, and bounded by default", () => {
  const path = "/d/0123456789abcdef0123-json.log";
  const common = { path, format: "json", attrs: "", blocking: true };
  assert.deepEqual(policy("json-file", { "max-size": "10m" }), {
    ...{ ...common, maxBytes: 10_000_000, maxFiles: 1 },
  });
  assert.deepEqual(policy("json-file"), { ...common, maxBytes: 100_000_000, maxFiles: 50 });
  assert.equal(policy("json-file", { "max-file": "3" })?.maxFiles, 3);
  for (const none of ["-1", "0"]) {
    assert.equal(policy("json-file", { "max-size": none })?.maxBytes, 0);
  }
});

test("local and the cache of a remote driver are binary files of 20 MiB, five of them", () => {
  const bounds = { maxBytes: 20 * 1024 * 1024, maxFiles: 5, format: "binary", attrs: "" };
  assert.deepEqual(policy("local"), { path: "/d/container.log", blocking: true, ...bounds });
  const spool = { spoolBytes: 100 * 1024 * 1024, blocking: true };
  const remote = { path: "/d/container-cached.log", ...bounds, ...spool };
  assert.deepEqual(policy("syslog"), remote);
  const small = policy("syslog", { "cache-max-size": "1m", "cache-max-file": "2" });
  assert.equal(small?.maxBytes, 1_000_000);
  assert.equal(small?.spoolBytes, 16 * 1024 * 1024);
});

test("a non-blocking log has a buffer", () => {
  const mode = { mode: "non-blocking" };
  assert.equal(policy("json-file", mode)?.queueBytes, 1_000_000);
  const asked = policy("local", { ...mode, "max-buffer-size": "4m" });
  assert.equal(asked?.queueBytes, 4 * 1024 * 1024);
  assert.equal(asked?.blocking, false);
});

test("driver none keeps nothing, and a disabled cache is not read", () => {
  assert.equal(policy("none"), undefined);
  assert.equal(logPlace(info("none"), "/d"), undefined);
  assert.equal(logPlace(info("gelf", { "cache-disabled": "true" }), "/d")?.readable, false);
  assert.equal(logPlace(info("gelf"), "/d")?.readable, true);
});

const badValues: [string, Record<string, string>, RegExp][] = [
  ["json-file", { "max-file": "0" }, /: max-file cannot be less than 1$/],
  ["json-file", { "max-file": "x" }, /: strconv.Atoi: parsing "x": invalid syntax$/],
  ["json-file", { "max-size": "x" }, /: invalid size: 'x'$/],
  ["json-file", { compress: "true" }, /: compress cannot be true when max-file is less than 2/],
  ["local", { "max-file": "1" }, /: compression cannot be enabled when max file count is 1$/],
  ["json-file", { tag: "{{.Nope}}" }, /: template: log-tag:1:2: executing "log-tag" at <\.Nope>/],
  ["json-file", { "labels-regex": "(" }, /: invalid pattern "\("/],
];
for (const [driver, options, says] of badValues) {
  test(`a start fails where ${says.source} holds`, () => {
    assert.throws(() => policy(driver, options), { kind: "invalid", message: says });
    assert.throws(() => policy(driver, options), /to initialize logging driver: /);
  });
}

const remote = (name: string) =>
  name === "far"
    ? {
        name,
        validate: (options: Readonly<Record<string, string>>) => {
          throw new GantryError("invalid", `far: ${Object.keys(options)}`);
        },
      }
    : undefined;
const refused: [string, Record<string, string>, string][] = [
  ["json-file", { x: "1" }, "unknown log opt 'x' for json-file log driver"],
  ["local", { labels: "a" }, "unknown log opt 'labels' for log driver local"],
  ["nope", {}, 'error looking up logging plugin nope: plugin "nope" not found'],
  ["json-file", { mode: "x" }, "logger: logging mode not supported: x"],
  [
    "json-file",
    { "max-buffer-size": "1m" },
    "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
  ],
  [
    "json-file",
    { mode: "non-blocking", "max-buffer-size": "x" },
    "error parsing option max-buffer-size: invalid size: 'x'",
  ],
  ["local", { "cache-disabled": "x" }, "invalid value for option cache-disabled: x"],
  ["far", { mode: "blocking", own: "1", "cache-max-size": "1m" }, "far: own"],
];
for (const [driver, options, message] of refused) {
  test(`options are refused: ${message}`, () => {
    assert.throws(() => checkLogOptions(driver, options, remote), { kind: "invalid", message });
  });
}

test("options that docker takes are taken, and with driver none all are", () => {
  const labels = { labels: "a", "env-regex": "^K", tag: "x", compress: "true" };
  checkLogOptions("json-file", { ...labels, mode: "non-blocking" }, remote);
  checkLogOptions("none", { whatever: "1" }, remote);
});

test("labels and variables are chosen by name and by expression", () => {
  const choose = (Config: Record<string, string>) => extraAttributes(info("json-file", Config));
  assert.deepEqual(choose({ labels: "a,c", env: "K" }), { a: "1", K: "v=w" });
  assert.deepEqual(choose({ "labels-regex": "^x\\.", "env-regex": "^H" }), {
    ...{ "x.y": "3", HOME: "/root" },
  });
  const renamed = extraAttributes(info("json-file", { labels: "a" }), (key) => `_${key}`);
  assert.deepEqual(renamed, { _a: "1" });
});

const tags: [string, string][] = [
  ["{{.ID}}/{{.FullID}}", "0123456789ab/0123456789abcdef0123"],
  ["{{.Name}} {{.ContainerName}}", "web /web"],
  ["{{.ImageID}} {{.ImageFullID}}", "fedcba987654 sha256:fedcba9876543210"],
  ["{{.ImageName}}{{.ContainerImageName}} {{.DaemonName}}", "img:1img:1 docker"],
  ["{{upper .Name}} {{.Name | title}} {{truncate .Name 2}}", "WEB Web we"],
  ['{{join (split .ImageName ":") "/"}} {{lower "A"}}', "img/1 a"],
  ["{{json .ContainerArgs}} {{.Command}}", '["-c","true"] /bin/sh -c true'],
  ['{{index .ContainerLabels "a"}} {{.Config.tag | len}}', "1 52"],
];
test("a tag that would run for ever, or fill the memory, is refused", () => {
  const names = Array.from({ length: 40 }, (_, n) => n);
  const body = (n: number) => `{{template "t${n + 1}"}}{{template "t${n + 1}"}}`;
  const doubled = names.map((n) => `{{define "t${n}"}}${n < 39 ? body(n) : "x"}{{end}}`).join("");
  for (const [tag, why] of [
    ["{{range 4000000000}}x{{end}}", /runs too long/],
    [`${doubled}{{template "t0"}}`, /runs too long/],
    ['{{printf "%999999d" 1}}'.repeat(3), /too long/],
  ] as const) {
    assert.throws(() => logTag(info("json-file", { tag }), ""), why, tag.slice(0, 40));
  }
  const wide = ['{{printf "%1000001d|" 1}}', '{{printf "%*d|" 1000001 1}}'];
  const shown = wide.map((tag) => logTag(info("json-file", { tag }), ""));
  assert.deepEqual(shown, ["%!(NOVERB)%!(EXTRA int=1)", "%!(BADWIDTH)1|"]);
});

for (const [tag, expected] of tags) {
  test(`the tag ${tag} is ${expected}`, () => {
    assert.equal(logTag(info("json-file", { tag }), ""), expected);
  });
}

test("an expression that would run for ever is refused or runs in linear time", () => {
  assert.throws(() => compileSearch("(a)\\1"), /Cannot be executed in linear time/);
  assert.throws(() => compileSearch("("), { kind: "invalid" });
  assert.throws(() => compileSearch("x".repeat(257)), /more than 256 characters/);
  for (const pattern of ["(a+)+$", "(a|aa)+$", "(a*)*b"]) {
    assert.equal(compileSearch(pattern)(`${"a".repeat(20_000)}!`), false);
  }
  assert.equal(compileSearch("(?i)ERR(Or)?\\b")("an eRRor"), true);
  assert.equal(compileSearch("(?i)\\S[A-C]")("x B"), false);
});
