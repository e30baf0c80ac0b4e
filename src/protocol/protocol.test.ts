import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { createBodySchema, execStartBodySchema } from "./container-schemas.ts";
import { parseFilters } from "./filters.ts";
import { refusedRoutes } from "./other-routes.ts";
import { parseQuery } from "./query.ts";
import { compileRoutes } from "./route-table.ts";
import { routes } from "./routes.ts";
import { decode } from "./schema.ts";
import { encodeFrame, FrameDecoder } from "./stdcopy.ts";
import { acceptVersion, compareVersions } from "./versions.ts";

const messageOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};

test("bodies are read with the leniency of Go", () => {
  const body = decode(createBodySchema, {
    image: "alpine",
    CMD: "sh",
    Env: null,
    Nonsense: { deep: true },
    ExposedPorts: { "80/tcp": {} },
    HostConfig: {
      memory: 5,
      PortBindings: { "80/tcp": null },
      ConsoleSize: [1],
      CapAdd: ["A", null],
    },
    NetworkingConfig: { EndpointsConfig: { bridge: null } },
  });
  assert.deepEqual(body, {
    Image: "alpine",
    Cmd: ["sh"],
    ExposedPorts: { "80/tcp": {} },
    HostConfig: {
      Memory: 5,
      PortBindings: { "80/tcp": null },
      ConsoleSize: [1, 0],
      CapAdd: ["A", ""],
    },
    NetworkingConfig: { EndpointsConfig: { bridge: null } },
  });
});

test("a body's key may be called __proto__ without harm", () => {
  const body = decode(createBodySchema, JSON.parse('{"Labels":{"__proto__":"x"},"__proto__":1}'));
  assert.deepEqual(Object.entries(body?.Labels ?? {}), [["__proto__", "x"]]);
  assert.equal(({} as Record<string, unknown>)["x"], undefined);
});

test("wrong types are refused in Go's words", () => {
  const refuse = (body: unknown): string => messageOf(() => decode(createBodySchema, body));
  const prefix = "invalid JSON: json: cannot unmarshal";
  assert.equal(
    refuse({ HostConfig: { Memory: "1g" } }),
    `${prefix} string into Go struct field container.CreateRequest.HostConfig.Memory of type int64`,
  );
  assert.equal(
    refuse({ Tty: 1 }),
    `${prefix} number into Go struct field container.CreateRequest.Tty of type bool`,
  );
  assert.equal(
    refuse({ Env: "A=b" }),
    `${prefix} string into Go struct field container.CreateRequest.Env of type []string`,
  );
  assert.equal(
    refuse({ HostConfig: { BlkioWeight: 70000 } }),
    `${prefix} number 70000 into Go struct field ` +
      "container.CreateRequest.HostConfig.BlkioWeight of type uint16",
  );
  assert.equal(refuse([]), `${prefix} array into Go value of type container.CreateRequest`);
  assert.match(refuse({ HostConfig: { CpuShares: 1.5 } }), /number 1.5 into .* type int64/);
  assert.match(
    messageOf(() => decode(execStartBodySchema, { Tty: "yes" })),
    /type bool/,
  );
});

test("query parameters are read by dockerd's rules", () => {
  const spec = { a: "bool", b: "bool=true", n: "int", s: "string", m: "strings" } as const;
  const read = (text: string) => parseQuery(spec, new URLSearchParams(text));
  assert.deepEqual(read(""), { a: false, b: true, n: undefined, s: undefined, m: [] });
  assert.deepEqual(read("a=False&b=0&n=-1&s=x&m=1&m=2"), {
    a: false,
    b: false,
    n: -1,
    s: "x",
    m: ["1", "2"],
  });
  assert.equal(read("a=yes").a, true);
  assert.equal(
    messageOf(() => read("n=ten")),
    'strconv.Atoi: parsing "ten": invalid syntax',
  );
  const size = (text: string) => parseQuery({ h: "uint32" } as const, new URLSearchParams(text));
  assert.equal(
    messageOf(() => size("h=")),
    'invalid resize height "": invalid syntax',
  );
  assert.equal(
    messageOf(() => size("h=-1")),
    'invalid resize height "-1": value out of range',
  );
});

test("filters come as a set, as lists, or not at all", () => {
  assert.deepEqual(
    parseFilters('{"label":{"a=b":true,"c":true}}'),
    new Map([["label", ["a=b", "c"]]]),
  );
  assert.deepEqual(parseFilters('{"label":["a"]}', ["label"]), new Map([["label", ["a"]]]));
  assert.deepEqual(parseFilters(""), new Map());
  assert.equal(
    messageOf(() => parseFilters('{"x":["a"]}', ["label"])),
    "invalid filter 'x'",
  );
  for (const bad of ["{", "[]", '{"a":"b"}', '{"a":[1]}', '{"a":{"b":1}}']) {
    assert.equal(
      messageOf(() => parseFilters(bad)),
      "invalid filter",
    );
  }
});

test("versions compare by number and are refused in dockerd's words", () => {
  assert.ok(compareVersions("1.9", "1.24") < 0);
  assert.equal(compareVersions("1.41", "1.41"), 0);
  assert.equal(acceptVersion(undefined).text, "1.55");
  assert.equal(
    messageOf(() => acceptVersion("1.23")),
    "client version 1.23 is too old. Minimum supported API version is 1.24, " +
      "please upgrade your client to a newer version",
  );
  assert.equal(
    messageOf(() => acceptVersion("1.99")),
    "client version 1.99 is too new. Maximum supported API version is 1.55",
  );
});

test("paths match their rows, image names with slashes included", () => {
  const table = compileRoutes(routes);
  const find = (method: string, path: string) => {
    const found = table.find(method, path);
    return found === undefined ? undefined : [found.route.name, found.params];
  };
  assert.deepEqual(find("GET", "/containers/json"), ["containerList", {}]);
  assert.deepEqual(find("GET", "/containers/a/json"), ["containerInspect", { id: "a" }]);
  assert.deepEqual(find("GET", "/images/localhost:5000/a/b:c/json"), [
    "imageInspect",
    { name: "localhost:5000/a/b:c" },
  ]);
  assert.deepEqual(find("GET", "/images/get"), ["imageGetAll", {}]);
  assert.deepEqual(find("DELETE", "/images/a/b"), ["imageDelete", { name: "a/b" }]);
  assert.deepEqual(find("GET", "/containers/a/attach/ws"), [
    "containerAttachWebsocket",
    { id: "a" },
  ]);
  assert.equal(find("POST", "/containers/json"), undefined);
});

test("every endpoint of the checklist is served or refused with a reason", (t) => {
  const facts = new URL("../../../shared/facts/api.tsv", import.meta.url);
  if (!existsSync(facts)) return t.skip("no checklist beside this checkout");
  const [head = "", ...rows] = readFileSync(facts, "utf8").trim().split("\n");
  const columns = head.split("\t");
  const known = new Set(
    [...Object.values(routes), ...refusedRoutes].map(({ method, path }) => shape(method, path)),
  );
  const missing = rows
    .map((row) => Object.fromEntries(row.split("\t").map((cell, i) => [columns[i], cell])))
    .filter(({ method, path }) => method !== "OPTIONS" && !path?.startsWith("/debug/"))
    .filter(({ method, path }) => !known.has(shape(method ?? "", path ?? "")));
  assert.deepEqual(
    missing.map(({ method, path }) => `${method} ${path}`),
    [],
  );
});
const shape = (method: string, path: string): string =>
  `${method} ${path.replace(/\{\w+\}/g, "{}")}`;

test("stdcopy frames survive any cutting", () => {
  const stream = Buffer.concat([
    encodeFrame(1, Buffer.from("hello ")),
    encodeFrame(2, Buffer.from("")),
    encodeFrame(2, Buffer.from("world")),
  ]);
  for (let size = 1; size <= stream.length; size++) {
    const decoder = new FrameDecoder();
    const seen: Record<number, string> = {};
    for (let at = 0; at < stream.length; at += size) {
      for (const { stream: n, data } of decoder.push(stream.subarray(at, at + size))) {
        seen[n] = (seen[n] ?? "") + Buffer.from(data).toString();
      }
    }
    assert.deepEqual(seen, { 1: "hello ", 2: "world" });
  }
});
