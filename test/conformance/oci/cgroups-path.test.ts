// linux.cgroupsPath: where a container's cgroups are, that nobody else's are taken, and that all of
// them are gone with it.

import assert from "node:assert/strict";
import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { OciSpec } from "../../../src/spec/index.ts";
import { cgroupsOf, children, foldersAt } from "../../support/oci-cgroups.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import { started } from "../../support/oci-look.ts";
import { proves } from "../../support/proves.ts";

let oci: OciFixture;
const parent = `gantry-test-${process.pid}`; // what the fixture removes
before(async () => {
  oci = await OciFixture.make();
});
after(async () => {
  await oci[Symbol.asyncDispose]();
});

const at = (cgroupsPath: string) => (spec: OciSpec) => {
  spec.linux!.cgroupsPath = cgroupsPath;
};
const layout = () => oci.runtime.kernel.cgroup;
const mounts = () => [
  ...new Set(layout().v1.values()),
  ...(layout().v2 ? [layout().v2!.path] : []),
];

/** Where the kernel says that a process is, in each hierarchy of limits. */
async function placesOf(pid: number): Promise<Set<string>> {
  const folders = [...(await cgroupsOf(pid, layout())).values()];
  return new Set(folders.map((folder) => folder.slice(mountOf(folder).length)));
}
const mountOf = (folder: string) => mounts().find((mount) => folder.startsWith(`${mount}/`))!;

test(`a path is taken in every hierarchy, whatever its form ${proves("config", "linux.cgroupsPath")}`, async () => {
  const forms: [form: string, place: string][] = [
    [`/${parent}/a`, `/${parent}/a`],
    [`${parent}/b`, `/${parent}/b`],
    [`/../${parent}/./x/../c/`, `/${parent}/c`],
    [`/${parent}/some.slice:prefix:name`, `/${parent}/some.slice:prefix:name`],
  ];
  for (const [form, place] of forms) {
    await using container = await started(oci, at(form));
    assert.deepEqual(await placesOf(container.pid), new Set([place]), form);
  }
  await using container = await started(oci, (spec) => delete spec.linux!.cgroupsPath);
  assert.deepEqual(await placesOf(container.pid), new Set([`/gantry-runtime-${container.id}`]));
});

test("a path that is no cgroup, or one in which others live, is refused and left alone", async () => {
  const { id, bundle } = await oci.bundle(["true"], at("/"));
  assert.match((await oci.call("run", "-b", bundle, id)).stderr, /invalid cgroup path/);
  await using tenant = await started(oci, at(`/${parent}/shared`));
  for (const path of [`/${parent}/shared`, `/${parent}`]) {
    const other = await oci.bundle(["true"], at(path));
    const { stderr } = await oci.call("run", "-b", other.bundle, other.id);
    assert.match(stderr, /container's cgroup is not empty: 1 process\(es\) found/);
    assert.equal((await oci.state(tenant.id)).status, "running");
  }
});

test("nothing of it is left, also of the cgroups that the container made", async () => {
  const path = `/${parent}/deep/er`;
  const container = await started(oci, at(path));
  const folders = await foldersAt(path, layout());
  assert.ok(folders.length > 0);
  for (const folder of folders) await mkdir(join(folder, "inner"));
  await container[Symbol.asyncDispose]();
  assert.deepEqual(await foldersAt(path, layout()), []);
  // What stood above may be others': it stays, empty.
  for (const folder of await foldersAt(`/${parent}/deep`, layout())) {
    assert.deepEqual(await children(folder), []);
    await rmdir(folder);
  }
});
