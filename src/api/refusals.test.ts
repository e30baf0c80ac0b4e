import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { kindOf, messageOf } from "../base/index.ts";
import { NOT_A_SWARM_MANAGER, refusedRoutes } from "../protocol/index.ts";
import { refuse } from "./refusals.ts";
import { findRoute } from "./router.ts";

/** Status kind and sentence of a request; recorded from dockerd 28.5.2 that is in no swarm. */
async function answer(method: string, url: string, body = ""): Promise<[string, string]> {
  const { refused, params, search } = findRoute(method, url);
  assert(refused, `${method} ${url} is refused`);
  const headers = {
    "content-length": String(body.length),
    ...(body === "" ? {} : { "content-type": "application/json" }),
  };
  const request = {
    row: refused,
    params,
    search,
    headers,
    body: Readable.from([Buffer.from(body)]),
  };
  const error = await refuse(request).catch((thrown: unknown) => thrown);
  return [kindOf(error), messageOf(error)];
}

test("a daemon in no swarm says so, after what is wrong with the request", async () => {
  const cases: [string, string, string, string, string][] = [
    ["GET", "/nodes", "", "unavailable", NOT_A_SWARM_MANAGER],
    ["GET", "/v1.24/secrets", "", "unavailable", NOT_A_SWARM_MANAGER],
    ["GET", "/tasks?filters=zzz", "", "invalid", "invalid filter"],
    [
      "GET",
      "/services?status=zz",
      "",
      "invalid",
      'invalid value for status: zz: strconv.ParseBool: parsing "zz": invalid syntax',
    ],
    [
      "GET",
      "/services/x/logs",
      "",
      "internal",
      "Bad parameters: you must choose at least one stream",
    ],
    ["GET", "/services/x/logs?stdout=1", "", "unavailable", NOT_A_SWARM_MANAGER],
    ["POST", "/swarm/leave?force=1", "", "unavailable", "This node is not part of a swarm"],
    ["POST", "/swarm/init", "{}", "invalid", 'invalid ListenAddr "": invalid empty address'],
    [
      "POST",
      "/swarm/init",
      "x",
      "invalid",
      "invalid JSON: invalid character 'x' looking for beginning of value",
    ],
    [
      "POST",
      "/swarm/update",
      "{}",
      "invalid",
      `invalid swarm version '': strconv.ParseUint: parsing "": invalid syntax`,
    ],
    [
      "POST",
      "/swarm/update?version=1&rotateWorkerToken=zz",
      "{}",
      "invalid",
      "invalid value for rotateWorkerToken: zz",
    ],
    ["POST", "/swarm/update?version=1", "{}", "unavailable", NOT_A_SWARM_MANAGER],
    ["POST", "/secrets/x/update", "{}", "invalid", "invalid secret version"],
    ["DELETE", "/nodes/x?force=1", "", "unavailable", NOT_A_SWARM_MANAGER],
  ];
  for (const [method, url, body, ...wanted] of cases) {
    assert.deepEqual(await answer(method, url, body), wanted, `${method} ${url} ${body}`);
  }
});

test("there is no swarm to begin or to join, and no managed plugin to install", async () => {
  const body = '{"ListenAddr":"0.0.0.0:2377"}';
  for (const path of ["/swarm/init", "/swarm/join"]) {
    const [kind, sentence] = await answer("POST", path, body);
    assert.equal(kind, "not-implemented");
    assert.match(sentence, /^there is no swarm mode: /);
  }
  const [kind, sentence] = await answer("POST", "/plugins/pull?remote=x", "[]");
  assert.equal(kind, "not-implemented");
  assert.match(sentence, /^managed plugins are not supported: .*\/run\/docker\/plugins/);
});

test("no plugin has any name", async () => {
  assert.deepEqual(await answer("GET", "/plugins/a/b/json"), [
    "not-found",
    'plugin "a/b" not found',
  ]);
  const [, timeout] = await answer("POST", "/plugins/x/enable");
  assert.equal(timeout, 'strconv.Atoi: parsing "": invalid syntax');
  const [, upgrade] = await answer("POST", "/plugins/x/upgrade?remote=x");
  assert.equal(upgrade, 'plugin "x:latest" not found');
});

test("every refused route has one reason", () => {
  for (const { method, path, missing, answer: sentence, absent } of refusedRoutes) {
    const reasons = [missing, sentence, absent].filter((one) => one !== undefined);
    assert(reasons.length <= 1, `${method} ${path}`);
  }
});
