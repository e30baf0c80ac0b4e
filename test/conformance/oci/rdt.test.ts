// linux.intelRdt. No machine that tests run on has the hardware: a host without resctrl refuses it;
// the rest is held against a folder that stands in for the file system, with a real container whose
// pid has to appear in it. How classes are made and compared is plan-rdt.test.ts's.

import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { OciLinux } from "../../../src/spec/index.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import { refusal } from "../../support/oci-look.ts";
import { proves } from "../../support/proves.ts";

type IntelRdt = NonNullable<OciLinux["intelRdt"]>;
let oci: OciFixture;
before(async () => {
  oci = await OciFixture.make();
});
after(async () => {
  await oci[Symbol.asyncDispose]();
});

test(`a host without the file system refuses every class ${proves("config", "linux.intelRdt", "linux.intelRdt.closID")}`, async (t) => {
  if (oci.runtime.kernel.resctrl !== undefined) return t.skip("this host has resctrl");
  for (const intelRdt of [{}, { closID: "gold" }, { enableMonitoring: true }]) {
    const message = await refusal(oci, (spec) => Object.assign(spec.linux!, { intelRdt }));
    assert.match(message, /linux.intelRdt: no resctrl file system is mounted on this host/);
  }
});

test(`a container enters its class and its monitoring group ${proves("config", "linux.intelRdt.schemata[]", "linux.intelRdt.l3CacheSchema", "linux.intelRdt.memBwSchema", "linux.intelRdt.enableMonitoring")}`, async () => {
  const { runtime } = oci;
  const mount = oci.path("resctrl");
  const schemata = "    L3:0=00f;1=0ff\n    MB:0= 50;1= 60\n";
  const folder = join(mount, "gold");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "schemata"), schemata);
  await writeFile(join(folder, "tasks"), "");
  const kernel = { ...runtime.kernel, resctrl: mount };
  const startWith = async (intelRdt: IntelRdt) => {
    const started = await runtime.start(["sleep"], {
      kernel,
      rdt: { mount, schemata },
      change: (spec) => Object.assign(spec.linux!, { intelRdt }),
    });
    started.monitor.release();
    return started;
  };
  const same = { closID: "gold", l3CacheSchema: "L3:0=f;1=ff", memBwSchema: "MB:0=50;1=60" };
  const container = await startWith(same);
  assert.equal(await readFile(join(folder, "tasks"), "utf8"), `${container.pid}`);
  assert.equal(await readFile(join(folder, "schemata"), "utf8"), schemata, "it is left as it is");
  const listed = await startWith({ closID: "gold", schemata: ["MB:0=50;1=60"] });
  assert.equal(await readFile(join(folder, "tasks"), "utf8"), `${listed.pid}`);
  await assert.rejects(
    startWith({ closID: "gold", schemata: ["MB:0=10"] }),
    /the class "gold" exists and is not "MB:0=10"/,
  );
  // The stand-in makes no files in a new group: that it is asked for is seen by what is missing.
  await mkdir(join(folder, "mon_groups"));
  await assert.rejects(
    startWith({ closID: "gold", enableMonitoring: true }),
    /mon_groups\/rt\w+\/tasks/,
  );
});
