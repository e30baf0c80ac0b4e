// Every single operation of a create-and-start plan is made to fail in turn: the start is refused,
// nothing of it is left in the kernel or on disk, and the container can be started afterwards.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { silentLogger } from "../../src/base/index.ts";
import { libraryOptions } from "../../src/daemon/library-options.ts";
import { createEngine } from "../../src/daemon/wire-engine.ts";
import type { RunningEngine } from "../../src/engine/index.ts";
import { EngineFixture, IMAGE, optionsFor } from "../support/engine-fixture.ts";
import { kernelState } from "../support/kernel-state.ts";
import { Saboteur } from "../support/saboteur.ts";

let fixture: EngineFixture;
let engine: RunningEngine;
const saboteur = new Saboteur();

before(async () => {
  fixture = await EngineFixture.make();
  await fixture.close();
  const { engine: options, network } = await libraryOptions(optionsFor(fixture.root));
  const { wrap: wrapNative } = saboteur;
  engine = await createEngine(options, network, silentLogger, { wrapNative });
});
after(async () => {
  await engine.close();
  await fixture[Symbol.asyncDispose]();
});

/** Files of the container beside those that every start writes anew, and the kernel's share. */
async function look(id: string): Promise<unknown> {
  const names = await readdir(join(fixture.root, "data/containers", id));
  const files = names.filter((n) => !/^(hosts|hostname|resolv\.conf|.*-json\.log)$/.test(n)).sort();
  const cgroupParent = fixture.options.cgroupParent!;
  return { files, ...(await kernelState({ cgroupParent, marker: fixture.root })) };
}

test("whichever operation of a start fails, nothing is left and the next start works", async (t) => {
  const { containers } = engine;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["true"], User: "app" },
    hostConfig: {
      NetworkMode: "none",
      Binds: ["kept:/data", "/tmp:/mnt:ro"],
      Tmpfs: { "/scratch": "" },
      Memory: 64 << 20,
      PidsLimit: 50,
    },
  });
  const count = await saboteur.failEach(engine, id, () => look(id));
  t.diagnostic(`${count} operations failed in turn`);
  const { done } = await containers.wait(id, "next-exit");
  await containers.start(id);
  assert.equal((await done).exitCode, 0);
  await containers.remove(id);
  await engine.volumes.remove("kept");
});

test("the same with a terminal, and an init of its own", async () => {
  const { containers } = engine;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["true"], Tty: true, OpenStdin: true },
    hostConfig: { NetworkMode: "none", Init: true, ReadonlyRootfs: true },
  });
  await saboteur.failEach(engine, id, () => look(id));
  await containers.remove(id);
});

test("the same in a user namespace, with a volume and a device", async () => {
  const { containers } = engine;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["true"], User: "app" },
    hostConfig: {
      NetworkMode: "none",
      UsernsMode: "auto",
      Binds: ["mapped:/data", "/tmp:/mnt:ro"],
      Devices: [
        { PathOnHost: "/dev/null", PathInContainer: "/dev/deep/null", CgroupPermissions: "rwm" },
      ],
    },
  });
  await saboteur.failEach(engine, id, () => look(id));
  const { done } = await containers.wait(id, "next-exit");
  await containers.start(id);
  assert.equal((await done).exitCode, 0);
  await containers.remove(id);
  await engine.volumes.remove("mapped");
});
