// Beside Docker's own registry: a folder that it filled is served by us and the other way round,
// and skopeo copies between the two without changing a digest. Skipped where they are not
// installed.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { collectGarbage, createContent, openFileStore } from "../../src/registry/index.ts";
import { descriptor, OCI_MANIFEST, pullWhole, randomLayer } from "../support/registry-content.ts";
import { RegistryPlace } from "../support/registry-http.ts";

const DOCKER_REGISTRY = "/usr/bin/docker-registry";
const SKOPEO = "/usr/bin/skopeo";
const noPeer = existsSync(DOCKER_REGISTRY) ? false : "docker-registry is not installed";
const noSkopeo = existsSync(SKOPEO) ? noPeer : "skopeo is not installed";
const run = promisify(execFile);

/** Docker's registry over a folder, while `work` runs. */
async function withPeer(root: string, work: (base: string) => Promise<void>): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const config = `${root}.yml`;
  const lines = [
    "version: 0.1",
    "log: {level: error, accesslog: {disabled: true}}",
    `storage: {filesystem: {rootdirectory: ${root}}, delete: {enabled: true}}`,
    `http: {addr: "127.0.0.1:${port}"}`,
  ];
  await writeFile(config, lines.join("\n"));
  const child = spawn(DOCKER_REGISTRY, ["serve", config], { stdio: "ignore" });
  const base = `http://127.0.0.1:${port}`;
  try {
    while (!(await fetch(`${base}/v2/`).catch(() => undefined))?.ok) {
      assert.equal(child.exitCode, null, "docker-registry ended");
      await delay(20);
    }
    await work(base);
  } finally {
    if (child.exitCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await rm(config, { force: true });
  }
}

test("a folder that we filled is served by docker's registry, and back", {
  skip: noPeer,
}, async () => {
  const root = await mkdtemp(join(tmpdir(), "gantry-peer-"));
  const ours = await RegistryPlace.open({}, root);
  try {
    const manifest = await ours.pushImage("team/app", "v1", [randomLayer(50_000)]);
    const subject = { subject: descriptor(manifest, OCI_MANIFEST) };
    const signature = await ours.pushImage("team/app", "signature", [], subject);
    await withPeer(root, async (base) => {
      const headers = { Accept: OCI_MANIFEST };
      const found = await fetch(`${base}/v2/team/app/manifests/v1`, { headers });
      assert.equal(found.headers.get("docker-content-digest"), manifest.digest);
      const catalog = (await (await fetch(`${base}/v2/_catalog`)).json()) as object;
      assert.deepEqual(catalog, { repositories: ["team/app"] });
      const put = await fetch(`${base}/v2/team/app/manifests/theirs`, {
        method: "PUT",
        headers: { "Content-Type": OCI_MANIFEST },
        body: manifest.data as Buffer<ArrayBuffer>,
      });
      assert.equal(put.status, 201);
    });
    const { body } = await ours.ask("GET", "/v2/team/app/tags/list");
    assert.deepEqual(JSON.parse(body.toString()).tags, ["signature", "theirs", "v1"]);
    assert.equal(await pullWhole(ours.server.content, "team/app", "theirs"), manifest.digest);
    const [referrer] = await ours.server.content.referrers("team/app", manifest.digest);
    assert.equal(referrer?.digest, signature.digest);
  } finally {
    await ours[Symbol.asyncDispose]();
  }
});

test("skopeo copies both ways without changing a digest", { skip: noSkopeo }, async () => {
  await using ours = await RegistryPlace.open();
  const root = await mkdtemp(join(tmpdir(), "gantry-peer-"));
  const manifest = await ours.pushImage("team/app", "v1", [randomLayer(80_000), randomLayer()]);
  const subject = { subject: descriptor(manifest, OCI_MANIFEST) };
  await ours.pushImage("team/app", "attached", [], subject);
  await withPeer(root, async (base) => {
    const mine = ours.base.replace("http:", "docker:");
    const theirs = base.replace("http:", "docker:");
    const copy = (from: string, to: string) =>
      run(SKOPEO, ["copy", "--src-tls-verify=false", "--dest-tls-verify=false", from, to]);
    const layout = `oci:${root}/layout:v1`;
    await copy(`${mine}/team/app:v1`, `${theirs}/there/app:v1`);
    await copy(`${theirs}/there/app:v1`, layout);
    await copy(layout, `${mine}/back/app:v2`);
    await copy(`${mine}/team/app:attached`, `${theirs}/team/app:attached`);
  });
  assert.equal(await pullWhole(ours.server.content, "back/app", "v2"), manifest.digest);
  // What docker's registry filled has no index of referrers: a collection makes it.
  const store = await openFileStore(root);
  await collectGarbage(store);
  const found = await createContent(store).referrers("team/app", manifest.digest);
  assert.equal(found.length, 1);
  await rm(root, { recursive: true });
});
