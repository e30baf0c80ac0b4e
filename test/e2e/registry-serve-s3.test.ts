// `gantry registry serve` over a bucket of a real S3 server: two processes are one registry, blobs
// come from the store itself, and the page gets its configurations nevertheless.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Pusher, RegistryProcess, sha256 } from "../support/registry-process.ts";
import { type S3Server, s3Program, startS3Server } from "../support/s3-server.ts";
import { run } from "./process.ts";

const program = await s3Program();
const skip = "missing" in program && program.missing;

describe("gantry registry serve over S3", { skip }, () => {
  let server: S3Server;
  let one: RegistryProcess;
  let two: RegistryProcess;
  before(async () => {
    server = await startS3Server((program as { path: string }).path);
    const config = `s3: ${JSON.stringify({ ...server.options, rootPrefix: "serve" })}\n`;
    one = await RegistryProcess.start({ config });
    two = await RegistryProcess.start({ config });
  });
  after(async () => {
    await one?.stop();
    await two?.stop();
    await server?.[Symbol.asyncDispose]();
  });

  test("what one process takes the other gives, from the bucket itself", async () => {
    const layer = randomBytes(200_000);
    const { digest } = await new Pusher(one.url).image("team/app", "1", { layers: [layer] });
    const manifest = await fetch(`${two.url}/v2/team/app/manifests/1`);
    assert.equal(manifest.headers.get("docker-content-digest"), digest);
    const { config } = (await manifest.json()) as { config: { digest: string } };
    const blob = `${two.url}/v2/team/app/blobs/${sha256(layer)}`;
    const redirect = await fetch(blob, { redirect: "manual" });
    assert.equal(redirect.status, 307);
    assert.notEqual(new URL(redirect.headers.get("location")!).host, two.host);
    const bytes = Buffer.from(await (await fetch(blob)).arrayBuffer());
    assert.equal(sha256(bytes), sha256(layer));
    const query = new URLSearchParams({ name: "team/app", digest: config.digest });
    const shown = await fetch(`${two.url}/ui/blob?${query}`, { redirect: "error" });
    assert.equal(((await shown.json()) as { os: string }).os, "linux");
    const found = await fetch(`${two.url}/v1/search?q=app`);
    assert.equal(((await found.json()) as { num_results: number }).num_results, 1);
  });

  test("gc works on the bucket that the configuration names", async () => {
    const args = ["registry", "gc", "--config", `${one.folder}/registry.yml`, "--dry-run"];
    const { code, stdout, stderr } = await run("bin/gantry", args);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /Looked at 1 repositories with 1 manifests/);
  });
});
