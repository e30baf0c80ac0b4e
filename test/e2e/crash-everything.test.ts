// kill -9 of the daemon at random moments while everything that it can do is under way at once.
// After its restart what it says is what the machine holds (node-inventory.ts), and in the end
// nothing is left. A long run, by hand: GANTRY_CRASH_SEED=random GANTRY_CRASH_CYCLES=200; a failure
// names its seed, from which the order of things follows, but not the moment of each.

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ContainerCreateOptions } from "dockerode";
import { pack } from "../payload/payload.ts";
import { KernelNetwork } from "../support/kernel-network.ts";
import { whatDoesNotFit } from "../support/node-inventory.ts";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const CYCLES = Number(process.env["GANTRY_CRASH_CYCLES"] ?? 2);
const ASKED = process.env["GANTRY_CRASH_SEED"] ?? "11";
const SEED = ASKED === "random" ? Date.now() % 1_000_000 : Number(ASKED);
const WORKERS = 10;
const KILLED_WITHIN_MS = 700;
const DEED_MS_MAX = 20_000;
const SETTLE_MS_MAX = 60_000;
const NAMES = Array.from({ length: 8 }, (_, n) => `box${n}`);
const VOLUMES = ["vol0", "vol1", "vol2"];
const NETWORKS = ["net0", "net1"];
const IMAGES = ["made0", "made1", "made2"];
const COMMANDS = [["sleep"], ["sleep"], ["signals"], ["exit", "1"], ["lines", "200", "5"]];
const DOCKERFILE = 'FROM payload\nARG N\nRUN ["/bin/write", "/f", "x"]\nCOPY . /c\n';

describe("everything through crashes", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let kernel: KernelNetwork;
  let context: Buffer;
  const random = mulberry(SEED);
  const below = (n: number): number => Math.floor(random() * n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const maybe = <T extends object>(part: T): T | object => (below(3) === 0 ? part : {});

  before(async () => {
    daemon = await startDaemon({ args: ["--userns-pool", "700000000:1000000"] });
    kernel = await KernelNetwork.of(daemon.holderPid);
    context = await pack([
      { type: "file", name: "Dockerfile", content: DOCKERFILE },
      { type: "file", name: "some", content: "x".repeat(300_000) },
    ]);
  });
  after(async () => {
    await kernel?.[Symbol.asyncDispose]();
    await daemon.stop();
  });

  function wish(): ContainerCreateOptions {
    const name = pick(NAMES);
    const policy = { Name: pick(["always", "on-failure"]), MaximumRetryCount: 0 };
    const publish = { "80/tcp": [{ HostPort: String(8700 + NAMES.indexOf(name)) }] };
    const host = {
      NetworkMode: pick(["bridge", "none", ...NETWORKS]),
      ...maybe({ Binds: [`${pick(VOLUMES)}:/data`] }),
      ...maybe({ RestartPolicy: policy }),
      ...maybe({ PortBindings: publish }),
      ...maybe({ SecurityOpt: ["userns=auto:size=1000"] }),
      ...maybe({ AutoRemove: true, RestartPolicy: { Name: "no" } }),
      ...maybe({
        LogConfig: { Type: "syslog", Config: { "syslog-address": "udp://127.0.0.1:9" } },
      }),
    };
    const health = { Test: ["CMD", "/bin/true"], Interval: 200_000_000 };
    return {
      name,
      Image: pick([IMAGE, IMAGE, ...IMAGES]),
      Cmd: pick(COMMANDS),
      HostConfig: host,
      ExposedPorts: { "80/tcp": {} },
      ...maybe({ Healthcheck: health as never }),
      ...maybe({ Volumes: { "/anonymous": {} } }),
    };
  }

  const flow = async (stream: NodeJS.ReadableStream): Promise<void> => {
    for await (const _ of stream as Readable);
  };
  /** What is refused, or cut off, is not of interest: only what is left of it. */
  async function act(): Promise<void> {
    const docker = daemon.dockerode;
    const box = docker.getContainer(pick(NAMES));
    const t = { t: 0 };
    const created = async () => (await docker.createContainer(wish())).start();
    const force = { force: true, v: true };
    const joins = { Container: box.id };
    const archive = () => Readable.from([context]);
    const deeds: (() => Promise<unknown>)[] = [
      ...[created, created, created, created, () => docker.createContainer(wish())],
      ...[() => box.start(), () => box.start(), () => box.stop(t), () => box.restart(t)],
      ...[() => box.kill(), () => box.remove({ v: true }), () => box.remove(force)],
      async () => {
        const exec = await box.exec({ Cmd: ["sleep", "1"] });
        await exec.start({ Detach: true });
      },
      ...[() => box.pause(), () => box.unpause(), () => box.wait()],
      () => box.rename({ name: pick(NAMES) }),
      () => box.update({ Memory: 64 << 20, MemorySwap: -1 }),
      () => box.update({ RestartPolicy: { Name: pick(["no", "always"]) } }),
      () => box.commit({ repo: pick(IMAGES) }),
      () => docker.getImage(pick(IMAGES)).remove({ force: true }),
      () => box.putArchive(archive(), { path: "/" }),
      async () => flow(await box.getArchive({ path: "/bin" })),
      async () => flow(await box.logs({ follow: true, stdout: true })),
      () => docker.createVolume({ Name: pick(VOLUMES) }),
      () => docker.getVolume(pick(VOLUMES)).remove(),
      () => docker.createNetwork({ Name: pick(NETWORKS), CheckDuplicate: true }),
      () => docker.getNetwork(pick(NETWORKS)).remove(),
      () => docker.getNetwork(pick(NETWORKS)).connect(joins),
      () => docker.getNetwork(pick(NETWORKS)).disconnect(joins),
      ...[
        () => docker.pruneContainers(),
        () => docker.pruneNetworks(),
        () => docker.pruneVolumes(),
      ],
      () => docker.pruneImages(),
      async () => {
        const nocache = below(2) === 0;
        await flow(await docker.buildImage(archive() as never, { t: pick(IMAGES), nocache }));
      },
      async () => docker.loadImage((await docker.getImage(pick(IMAGES)).get()) as never),
    ];
    const deed = pick(deeds);
    const late = delay(DEED_MS_MAX, undefined, { ref: false });
    await Promise.race([deed().catch(() => {}), late]);
  }

  async function fits(when: string): Promise<void> {
    const { folder, holderPid, cgroupParent, dockerode } = daemon;
    const node = { folder, holderPid, cgroupParent, dockerode, kernel, table: "gantry_gantry0" };
    const deadline = Date.now() + SETTLE_MS_MAX;
    let found: string[];
    do {
      // A container that a policy starts again and again changes while it is looked at.
      found = await whatDoesNotFit(node).catch((error) => [String(error)]);
      if (found.length > 0) await delay(100);
    } while (found.length > 0 && Date.now() < deadline);
    assert.deepEqual(found, [], `${when}, seed ${SEED}\n${await daemon.log()}`);
  }

  test(`${CYCLES} crashes leave what the records say`, async (t) => {
    t.diagnostic(`seed ${SEED}`);
    for (let cycle = 1; cycle <= CYCLES; cycle++) {
      let isOver = false;
      const work = Array.from({ length: WORKERS }, async () => {
        while (!isOver) await act();
      });
      await delay(below(KILLED_WITHIN_MS));
      await daemon.kill9();
      isOver = true;
      await Promise.all(work);
      await daemon.start();
      await fits(`after crash ${cycle}`);
    }
  });
});

/** A small generator whose numbers a seed repeats. */
function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
