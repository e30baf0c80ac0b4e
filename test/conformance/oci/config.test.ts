// A config.json as a whole: its version, what belongs to no specification, what is of another type
// than it should be, what a program in Go writes for nothing.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { OciSpec } from "../../../src/spec/index.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import { refused, within } from "../../support/oci-outside.ts";
import { proves } from "../../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

describe("gantry-runtime's config.json", { skip }, () => {
  let oci: OciFixture;
  before(async () => {
    oci = await OciFixture.make();
  });
  after(() => oci[Symbol.asyncDispose]());
  const change = (more: object) => (spec: OciSpec) => void Object.assign(spec, more);

  test(`a version 1 is taken and told by state, no other ${proves("config", "ociVersion")}`, async () => {
    for (const ociVersion of ["1.0.0", "1.0.2-dev", "1.3.0"]) {
      await within(oci, change({ ociVersion }), async ({ id }) => {
        assert.equal(JSON.parse(await oci.ok("state", id)).ociVersion, ociVersion);
      });
    }
    for (const ociVersion of ["2.0.0", "0.9.0", "", "1", "latest"]) {
      assert.match(await refused(oci, change({ ociVersion })), /not a version 1/);
    }
  });

  test("unknown properties are ignored, null is nothing, as the specification demands", async () => {
    const more = { vm: { hypervisor: 5 }, hooks: null, annotations: null, domainname: null };
    const nothing = (spec: OciSpec) => {
      change(more)(spec);
      const linux = spec.linux as unknown as Record<string, unknown>;
      Object.assign(linux, { devices: null, intelRdt: null, sysctl: null, unknown: [1] });
    };
    await within(oci, nothing, async ({ id }) => {
      assert.equal((await oci.state(id)).status, "running");
    });
  });

  test(`what is of another type is refused by its name ${proves("config", "linux")}`, async () => {
    const cases: [(spec: OciSpec) => void, RegExp][] = [
      [change({ linux: "x" }), /linux must be an object/],
      [change({ mounts: { destination: "/m" } }), /mounts must be a list/],
      [change({ mounts: [{ destination: "/m", options: "ro" }] }), /options must be a list/],
      [change({ mounts: [{ type: "tmpfs" }] }), /mounts\[0\].destination is missing/],
      [change({ hostname: 5 }), /hostname must be a text/],
      [change({ hooks: { prestart: { path: "/bin/true" } } }), /hooks.prestart must be a list/],
      [change({ annotations: { a: 1 } }), /annotations.a must be a text/],
      [change({ process: undefined }), /process property must not be empty/],
      [change({ root: undefined }), /root.path property must not be empty/],
    ];
    for (const [make, says] of cases) assert.match(await refused(oci, make), says);
  });
});
