// The container story on cgroup v2, with one daemon: its start is most of the time that a suite
// takes where the processor is emulated.

import { after, before, describe } from "node:test";
import { GuestDaemon } from "../containers.ts";
import { acts } from "../suites/acts.ts";
import { apparmor, hasApparmor, withoutApparmor } from "../suites/apparmor.ts";
import { limits } from "../suites/limits.ts";
import { hasSelinux, selinux } from "../suites/selinux.ts";
import { tree } from "../suites/tree.ts";

const metrics = `/run/gantry-metrics-${process.pid}.sock`;
const guest = new GuestDaemon("--selinux-enabled", "--metrics-addr", `unix://${metrics}`);
const confined = await hasApparmor();
const labelled = await hasSelinux();
// The daemon finds apparmor_parser as dockerd does: on PATH.
process.env["PATH"] = `${process.env["PATH"]}:${process.env["GANTRY_VM_PARSER"]}`;

describe("containers on cgroup v2", () => {
  before(() => guest.begin());
  after(() => guest.stop());
  describe("have their limits in the kernel", () => limits(guest));
  describe("meet their limits", () => acts(guest, metrics));
  describe("have cgroups of their own", () => tree(guest));
  describe("and AppArmor", () => (confined ? apparmor(guest) : withoutApparmor(guest)));
  describe("and SELinux", { skip: labelled ? false : "off" }, () => selinux(guest));
});
