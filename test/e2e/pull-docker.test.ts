// The stock client's pull: what it prints where no terminal is, word for word, and a daemon that is
// killed in the middle of it.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { dockerPath, root, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const ENTRY = join(root, "test/fakes/registry-pull-entry.ts");
const waitMsMax = 30_000;
const skip = whyNoDaemon() || (dockerPath === undefined && "needs the docker client");

type Image = { id: string; manifest: string; layers: { digest: string; size: number }[] };
type Facts = { host: string; stallAt: number; slow: Image; plain: Image };
type Read = { blob: string; from: number; sent: number };

const short = (digest: string): string => digest.slice("sha256:".length).slice(0, 12);

describe("docker pull", { skip }, () => {
  let daemon: TestDaemon;
  let registry: ChildProcess;
  let lines: Interface;
  let facts: Facts;
  before(async () => {
    daemon = await startDaemon({ client: "docker", bare: true });
    const args = ["-t", String(daemon.holderPid), "-n", process.execPath, ENTRY];
    registry = spawn("nsenter", args, { stdio: ["pipe", "pipe", "inherit"] });
    lines = createInterface(registry.stdout!);
    facts = await said<Facts>();
  });
  after(async () => {
    const ended = once(registry, "exit");
    registry.stdin!.end();
    await ended;
    await daemon.stop();
  });

  async function said<T>(): Promise<T> {
    const [line] = await once(lines, "line", { signal: AbortSignal.timeout(waitMsMax) });
    return JSON.parse(line as string) as T;
  }

  async function readsOf({ layers }: Image): Promise<Read[]> {
    const reads = said<Read[]>();
    registry.stdin!.write("reads\n");
    const names = layers.map(({ digest }) => digest);
    return (await reads).filter(({ blob }) => names.includes(blob));
  }

  /** Bytes of the blob that are on the daemon's disk. */
  async function arrived(digest: string): Promise<number> {
    const folder = join(daemon.folder, "data/partial", digest.replace(":", "-"));
    const names = await readdir(folder).catch(() => []);
    const sizes = await Promise.all(
      names.map(async (name) => (await stat(join(folder, name))).size),
    );
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  test("without a terminal it prints what dockerd has it print", async () => {
    const name = `${facts.host}/plain/app:1`;
    const [first, second] = facts.plain.layers.map(({ digest }) => short(digest));
    const printed = (await daemon.ok("pull", name)).split("\n");
    assert.deepEqual(printed.slice(0, 3), [
      "1: Pulling from plain/app",
      `${first}: Pulling fs layer`,
      `${second}: Pulling fs layer`,
    ]);
    // Which layer is sooner is up to the network.
    for (const layer of [first, second]) {
      assert.deepEqual(
        printed.filter((line) => line.startsWith(`${layer}: `)),
        ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"].map(
          (step) => `${layer}: ${step}`,
        ),
      );
    }
    assert.deepEqual(printed.slice(9), [
      `Digest: ${facts.plain.manifest}`,
      `Status: Downloaded newer image for ${name}`,
      name,
    ]);
    assert.deepEqual((await daemon.ok("pull", name)).split("\n"), [
      "1: Pulling from plain/app",
      `Digest: ${facts.plain.manifest}`,
      `Status: Image is up to date for ${name}`,
      name,
    ]);
    assert.equal(await daemon.ok("pull", "-q", name), name);
  });

  test("a daemon that is killed meanwhile goes on at the byte where it stopped", async () => {
    const name = `${facts.host}/slow/app:1`;
    const { slow, stallAt } = facts;
    const [layer] = slow.layers;
    const pulling = daemon.client(["pull", name]);
    const deadline = Date.now() + waitMsMax;
    while ((await arrived(layer!.digest)) < stallAt) {
      assert.ok(Date.now() < deadline, "the bytes do not come");
      await delay(10);
    }
    await daemon.kill9();
    assert.notEqual((await pulling).code, 0);
    await daemon.start();
    assert.equal(await daemon.ok("images", "-q", name), "");
    assert.equal(await arrived(layer!.digest), stallAt);
    await daemon.ok("pull", name);
    assert.equal(await daemon.ok("image", "inspect", "-f", "{{.Id}}", name), slow.id);
    const reads = await readsOf(slow);
    assert.deepEqual(
      reads.map(({ from, sent }) => [from, sent]),
      [
        [0, stallAt],
        [stallAt, layer!.size - stallAt],
      ],
    );
    assert.deepEqual(await readdir(join(daemon.folder, "data/partial")), []);
  });
});
