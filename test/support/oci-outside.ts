// How the conformance tests of mounts and namespaces look at a container: from outside by
// /proc/PID, and at what it costs to ask for the impossible. A container of a bundle is made by the
// runtime's own command; what a test needs mounted on the host is made by the native program.

import assert from "node:assert/strict";
import { readdir, readFile, readlink } from "node:fs/promises";
import type { Operation } from "../../src/native/index.ts";
import { type MountInfo, parseMountinfo } from "../../src/runtime/index.ts";
import type { OciSpec } from "../../src/spec/index.ts";
import type { OciFixture } from "./oci-fixture.ts";

export interface Started {
  id: string;
  pid: number;
  bundle: string;
}

/** A container that sleeps. */
export async function started(
  oci: OciFixture,
  change: (spec: OciSpec) => void = () => {},
): Promise<Started> {
  const { id, bundle } = await oci.bundle(["sleep"], change);
  await oci.detached("run", "-d", "-b", bundle, id);
  const { pid } = await oci.state(id);
  return { id, pid, bundle };
}

export async function removed(oci: OciFixture, { id }: { id: string }): Promise<void> {
  await oci.ok("delete", "-f", id);
}

/** Makes a container, has `look` see it, and deletes it. */
export async function within<T>(
  oci: OciFixture,
  change: (spec: OciSpec) => void,
  look: (container: Started) => Promise<T>,
): Promise<T> {
  const container = await started(oci, change);
  try {
    return await look(container);
  } finally {
    await removed(oci, container);
  }
}

/** What the runtime says of a configuration that it must refuse; nothing may be left of it. */
export async function refused(oci: OciFixture, change: (spec: OciSpec) => void): Promise<string> {
  const { id, bundle } = await oci.bundle(["true"], change);
  const result = await oci.call("run", "-b", bundle, id);
  assert.equal(result.code, 1, `${result.stdout}${result.stderr}`);
  const left = await readdir(oci.root).catch((): string[] => []);
  assert.ok(!left.includes(id));
  return result.stderr.replaceAll('\\"', '"');
}

/** The mounts of a process by path; the last one at a path is what is seen. */
export async function mountsOf(pid: number | "self"): Promise<Map<string, MountInfo>> {
  const text = await readFile(`/proc/${pid}/mountinfo`, "utf8");
  return new Map(parseMountinfo(text).map((mount) => [mount.path, mount]));
}

export const namespaceOf = (pid: number | "self", kind: string): Promise<string> =>
  readlink(`/proc/${pid}/ns/${kind}`);

/** Standard output of a program in the container. */
export const inside = (oci: OciFixture, { id }: { id: string }, ...args: string[]) =>
  oci.ok("exec", id, ...args);

/** Runs operations on the host, in the host's mount namespace. */
export async function onHost(oci: OciFixture, ...host: Operation[]) {
  return await oci.runtime.native.spawner.run({ host });
}

export function hostTmpfs(path: string): Operation[] {
  return [
    { op: "mkdirs", path, mode: 0o755 },
    { op: "fsmount", fstype: "tmpfs", options: ["source=tmpfs"], to: 0 },
    { op: "moveMount", slot: 0, path },
    { op: "close", slot: 0 },
  ];
}

const MNT_DETACH = 2;
export const hostUmount = (path: string): Operation => ({
  op: "umount",
  path,
  flags: MNT_DETACH,
  missingOk: true,
});

/** Removes namespaces of these kinds, then adds these. */
export function withNamespaces(
  spec: OciSpec,
  change: { without?: string[]; add?: { type: string; path?: string }[] },
): void {
  const added = change.add ?? [];
  const gone = new Set([...(change.without ?? []), ...added.map(({ type }) => type)]);
  const kept = (spec.linux?.namespaces ?? []).filter(({ type }) => !gone.has(type));
  spec.linux = { ...spec.linux, namespaces: [...kept, ...added] };
}
