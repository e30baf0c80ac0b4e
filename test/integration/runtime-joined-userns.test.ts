// A container beneath a monitor that joins another's user namespace: it is born there by a process
// between, of which nothing may stay. gantry-runtime's own are in test/conformance/oci.

import assert from "node:assert/strict";
import { chown, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { OciSpec } from "../../src/spec/index.ts";
import { type Container, RuntimeFixture } from "../support/runtime-fixture.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const MAP = [{ containerID: 0, hostID: 300_000, size: 65_536 }];

describe("a container in another's user namespace", { skip }, () => {
  let fixture: RuntimeFixture;
  let donor: Container;
  before(async () => {
    fixture = await RuntimeFixture.make();
    const { rootfs } = fixture.native;
    const entries = await readdir(rootfs, { withFileTypes: true, recursive: true });
    const folders = entries.filter((entry) => entry.isDirectory());
    const paths = folders.map(({ parentPath, name }) => join(parentPath, name));
    for (const path of [rootfs, ...paths]) await chown(path, 300_000, 300_000);
    donor = await fixture.start(["sleep"], { change: (spec) => users(spec) });
    donor.monitor.release();
  });
  after(() => fixture?.[Symbol.asyncDispose]());

  function users(spec: OciSpec, path?: string): void {
    spec.linux!.namespaces!.push({ type: "user", ...(path && { path }) });
    Object.assign(spec.linux!, { uidMappings: MAP, gidMappings: MAP });
    delete spec.linux!.sysctl;
  }
  const path = (kind: string) => `/proc/${donor.pid}/ns/${kind}`;
  const joining = (spec: OciSpec) => {
    users(spec, path("user"));
    const network = spec.linux!.namespaces!.find(({ type }) => type === "network")!;
    network.path = path("net");
  };

  test("it is its monitor's child, in that namespace, and whoever made it is gone", async () => {
    const { pid, monitor: own } = await fixture.start(["sleep"], { change: joining });
    own.release();
    for (const kind of ["user", "net"]) {
      assert.equal(await readlink(`/proc/${pid}/ns/${kind}`), await readlink(path(kind)));
    }
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const monitor = stat.slice(stat.lastIndexOf(")")).split(" ")[2]!;
    // The executor may still be on its way out; the one between would stay for ever.
    await settled(async () => {
      const children = await readFile(`/proc/${monitor}/task/${monitor}/children`, "utf8");
      return children.trim() === String(pid);
    });
  });

  test("its exit is heard, its output read", async () => {
    const seen = await fixture.run(["id"], { change: joining });
    assert.equal(seen.exit.code, 0);
    assert.match(seen.stdout, /0/);
  });

  test("a namespace that cannot be joined fails the start, and leaves no process", async () => {
    const wrong = (spec: OciSpec) => {
      joining(spec);
      spec.linux!.namespaces!.find(({ type }) => type === "network")!.path = path("uts");
    };
    await assert.rejects(fixture.start(["sleep"], { change: wrong }), /joining the network/);
  });
});

const PATIENCE_MS = 60_000;

/** Resolves when it holds. */
async function settled(holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    assert.ok(Date.now() < end, "it never came to hold");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
