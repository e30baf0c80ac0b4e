import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "../../base/index.ts";
import { Recorder } from "../../native/index.ts";
import type { HostConfig } from "../../spec/index.ts";
import { type LabelRecord, SeLinux } from "./selinux.ts";

const POLICY = {
  process: "system_u:system_r:container_t:s0",
  file: "system_u:object_r:container_file_t:s0",
};
const FILE = "system_u:object_r:container_file_t:s0:c1,c2";

/** Containers by name, as an engine would remember them. */
class Records {
  readonly byId = new Map<string, { selinux?: LabelRecord }>();
  all() {
    return this.byId.values();
  }
  find(ref: string) {
    return this.byId.get(ref) ?? assert.fail(ref);
  }
  make(selinux: SeLinux, id: string, host: HostConfig = {}): LabelRecord | undefined {
    const labels = selinux.assign(host, this);
    this.byId.set(id, labels ? { selinux: labels } : {});
    return labels;
  }
}

test("a daemon that was not asked for labels gives none, whatever is said", () => {
  const records = new Records();
  const off = new SeLinux();
  assert.equal(off.isEnabled, false);
  assert.equal(records.make(off, "a", { SecurityOpt: ["label=nonsense"] }), undefined);
  // The policy says nothing of containers.
  assert.equal(records.make(new SeLinux("/nowhere"), "b"), undefined);
});

test("no two containers have the same categories, through crashes too", () => {
  const records = new Records();
  const levels = new Set<string>();
  for (let i = 0; i < 200; i++) {
    // A new engine each time: only the records are left.
    const labels = records.make(new SeLinux("/nowhere", POLICY), `c${i}`)!;
    assert.match(labels.process, /^system_u:system_r:container_t:s0:c\d+,c\d+$/);
    assert.equal(labels.process.split(":")[4], labels.mount.split(":")[4]);
    levels.add(labels.process);
  }
  assert.equal(levels.size, 200);
});

test("a joined container's label is shared, and a disabled one takes no categories", () => {
  const records = new Records();
  const selinux = new SeLinux("/nowhere", POLICY);
  const donor = records.make(selinux, "donor")!;
  const guest = records.make(selinux, "guest", { PidMode: "container:donor" });
  assert.deepEqual(guest, donor);
  const free = records.make(selinux, "free", { Privileged: true })!;
  assert.equal(free.process, "");
  assert.match(free.mount, /:s0:c1022,c1023$/);
  const own = { Privileged: true, SecurityOpt: ["label=type:spc_t"] };
  assert.match(records.make(selinux, "own", own)!.process, /:spc_t:/);
});

test("a tree is relabelled by its real path, privately or for all containers", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gantry-label-"));
  try {
    await mkdir(join(folder, "real"));
    await symlink("real", join(folder, "link"));
    const native = new Recorder();
    const selinux = new SeLinux("/nowhere", POLICY);
    const o = { label: FILE, keep: [] };
    await selinux.relabel(native, join(folder, "link"), { ...o, shared: false });
    await selinux.relabel(native, join(folder, "real"), { ...o, shared: true });
    await selinux.relabel(native, folder, { ...o, label: "", shared: true });
    await new SeLinux().relabel(native, folder, { ...o, shared: true });
    const done = native.calls.flatMap(({ plan }) => plan.host);
    const value = (text: string) => new TextEncoder().encode(`${text}\0`);
    const path = join(folder, "real");
    assert.deepEqual(done, [
      { op: "relabelTree", path, name: "security.selinux", value: value(FILE) },
      {
        ...{ op: "relabelTree", path, name: "security.selinux" },
        value: value("system_u:object_r:container_file_t:s0"),
      },
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("what the host lives on is never relabelled, by whatever name", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gantry-label-"));
  try {
    await symlink("/etc", join(folder, "link"));
    const native = new Recorder();
    const selinux = new SeLinux("/nowhere", POLICY);
    const names = [
      "/",
      "/etc",
      "/usr/",
      "/usr/../etc",
      join(folder, "link"),
      "/proc/self/root/etc",
    ];
    for (const path of [...names, folder]) {
      await assert.rejects(
        selinux.relabel(native, path, { label: FILE, shared: false, keep: [folder] }),
        { kind: "invalid", message: /SELinux relabeling of \/\S* is not allowed$/ },
        path,
      );
    }
    await assert.rejects(
      selinux.relabel(native, join(folder, "none"), { label: FILE, shared: true, keep: [] }),
      /error evaluating symlinks from mount source/,
    );
    assert.deepEqual(native.calls, []);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("without SELinux in the kernel the daemon says so and goes on, as dockerd does", async () => {
  const said: string[] = [];
  const tell = (line: string) => void said.push(line);
  const off = await SeLinux.open(false, silentLogger, tell);
  assert.equal(off.isEnabled, false);
  assert.equal(said.length, 0);
  const asked = await SeLinux.open(true, silentLogger, tell);
  assert.equal(said.length, asked.isEnabled ? 0 : 1);
});
