import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadConfigFile } from "./config-file.ts";

function load(text: string): ReturnType<typeof loadConfigFile> & { why: string } {
  const folder = mkdtempSync(join(tmpdir(), "gantry-config-"));
  const path = join(folder, "config.json");
  try {
    writeFileSync(path, text);
    const loaded = loadConfigFile(path);
    const start = `WARNING: Error parsing config file (${path}): `;
    return { ...loaded, why: loaded.warning?.replace(start, "") ?? "" };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a login that cannot be read is told in docker's words, and the others stay", () => {
  const good = { auth: "YTpi" };
  const field = "into Go struct field ConfigFile";
  for (const [bad, why] of [
    [{ auth: "!!!" }, "illegal base64 data at input byte 0"],
    [{ auth: "YTpi=" }, "illegal base64 data at input byte 4"],
    [{ auth: "YTo" }, "illegal base64 data at input byte 0"],
    [{ auth: "YQ==" }, "Invalid auth configuration file"],
    [{ auth: 5 }, `json: cannot unmarshal number ${field}.auths.h:1.auth of type string`],
    [[], `json: cannot unmarshal array ${field}.auths.h:1 of type types.AuthConfig`],
  ] as const) {
    const loaded = load(JSON.stringify({ auths: { "h:1": bad, other: good }, detachKeys: "x" }));
    assert.equal(loaded.why, why);
    assert.deepEqual(loaded.config, { auths: { other: good }, detachKeys: "x" });
  }
  const empty = { a: {}, b: { auth: "" }, c: { identitytoken: "t" }, d: { auth: "YTo=" } };
  assert.deepEqual(load(JSON.stringify({ auths: empty })), { config: { auths: empty }, why: "" });
});

test("a file of another shape is told in docker's words and not used", () => {
  const field = "json: cannot unmarshal number into Go struct field ConfigFile";
  for (const [config, why] of [
    [{ credHelpers: { a: 1 } }, `${field}.credHelpers.a of type string`],
    [{ HttpHeaders: { a: 1 } }, `${field}.HttpHeaders.a of type string`],
    [{ auths: 1 }, `${field}.auths of type map[string]types.AuthConfig`],
    [{ credsStore: 1 }, `${field}.credsStore of type string`],
  ] as const) {
    const loaded = load(JSON.stringify(config));
    assert.equal(loaded.why, why);
    assert.deepEqual(loaded.config, {});
  }
});
