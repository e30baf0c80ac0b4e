import assert from "node:assert/strict";
import { test } from "node:test";
import { findRoute } from "./router.ts";

test("a path that is not clean leads to the clean one, as dockerd's router has it", () => {
  const cases: [url: string, moved: string | undefined][] = [
    ["//info", "/info"],
    ["/v1.43//containers/json?all=1", "/v1.43/containers/json?all=1"],
    ["/containers/./json", "/containers/json"],
    ["/images/../info", "/info"],
    ["/../..", "/"],
    ["/containers//", "/containers/"],
    ["//evil.example/info?to=//x", "/evil.example/info?to=//x"],
    ["/info", undefined],
    ["/info/", undefined],
    ["/", undefined],
    ["/images/a...b/json", undefined],
    ["/images/a%2F%2Fb/json", undefined],
    ["/containers/json?filters=//", undefined],
  ];
  for (const [url, moved] of cases) assert.equal(findRoute("GET", url).moved, moved, url);
});
