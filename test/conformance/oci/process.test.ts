// process.* of the runtime specification, row by row: what is asked for is what the kernel says of
// the container's first process, from outside, and what a program in it gets.

import assert from "node:assert/strict";
import { readlink } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { capabilityMask } from "../../../src/runtime/index.ts";
import type { OciProcess, OciSpec } from "../../../src/spec/index.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import {
  created,
  printed,
  procText,
  refusal,
  started,
  statusLine,
} from "../../support/oci-look.ts";
import { proves } from "../../support/proves.ts";

let oci: OciFixture;
before(async () => {
  oci = await OciFixture.make();
});
after(async () => {
  await oci[Symbol.asyncDispose]();
});

const set = (more: Partial<OciProcess>) => (spec: OciSpec) => {
  Object.assign(spec.process!, more);
};

test(`arguments, variables and the folder arrive as they are ${proves("config", "ociVersion", "process", "process.args[]", "process.env[]", "process.cwd")}`, async () => {
  await using container = await started(
    oci,
    set({ cwd: "/tmp", env: ["A=one two", "EMPTY=", "Ü=ß"] }),
    ["sleep", "100000", "", "a b"],
  );
  const { pid } = container;
  assert.deepEqual((await procText(pid, "cmdline")).split("\0"), [
    "sleep",
    "100000",
    "",
    "a b",
    "",
  ]);
  assert.equal(await procText(pid, "environ"), "A=one two\0EMPTY=\0Ü=ß\0");
  assert.equal(await readlink(`/proc/${pid}/cwd`), "/tmp");
  assert.equal(await printed(oci, ["pwd"], set({ cwd: "/bin" })), "/bin");
  assert.match(await printed(oci, ["env"], set({ env: ["A=b"] })), /^A=b$/);
});

test("what cannot be a process is refused", async () => {
  const cases: [Partial<OciProcess>, RegExp][] = [
    [{ args: [] }, /args must not be empty/],
    [{ cwd: "tmp" }, /Cwd must be an absolute path/],
    [{ args: ["no-such-program"] }, /executable file not found in \$PATH/],
    [{ args: ["tr\0ue"] }, /args\[0\] must be a text/],
  ];
  for (const [change, message] of cases) assert.match(await refusal(oci, set(change)), message);
  assert.match(
    await refusal(oci, (spec) => delete (spec as Partial<OciSpec>).process),
    /process property/,
  );
  assert.match(
    await refusal(oci, (spec) => Object.assign(spec, { ociVersion: "2.0.0" })),
    /ociVersion .*2\.0\.0/,
  );
});

test(`the process has its user, groups and umask ${proves("config", "process.user", "process.user.uid", "process.user.gid", "process.user.umask", "process.user.additionalGids[]")}`, async () => {
  const user = { uid: 1234, gid: 4321, umask: 0o137, additionalGids: [7, 4294967294, 100] };
  await using container = await started(oci, set({ user }));
  const { pid } = container;
  assert.equal(await statusLine(pid, "Uid"), "1234 1234 1234 1234");
  assert.equal(await statusLine(pid, "Gid"), "4321 4321 4321 4321");
  assert.equal(await statusLine(pid, "Groups"), "7 100 4294967294");
  assert.equal(await statusLine(pid, "Umask"), "0137");
  assert.match(await printed(oci, ["id"], set({ user })), /^uid=1234 gid=4321 groups=7,100,/);
  const bare = { uid: 0, gid: 0 };
  const [mask] = (await printed(oci, ["status", "Umask", "Groups"], set({ user: bare }))).split(
    "\n",
  );
  assert.match(mask!, /0022$/);
});

suite("capabilities", () => {
  const sets = {
    bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID"],
    permitted: ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
    effective: ["CAP_CHOWN"],
    inheritable: ["CAP_KILL", "CAP_NET_RAW"],
    ambient: ["CAP_KILL"],
  };
  const mask = (names: string[]) => capabilityMask(names).toString(16).padStart(16, "0");

  test(`the five sets are those that are asked for ${proves("config", "process.capabilities", "process.capabilities.bounding[]", "process.capabilities.effective[]", "process.capabilities.inheritable[]", "process.capabilities.permitted[]", "process.capabilities.ambient[]")}`, async () => {
    // With no_new_privs the pause before execve comes after the last change of capabilities.
    const user = { uid: 1000, gid: 1000 };
    const change = set({ user, noNewPrivileges: true, capabilities: sets });
    await using container = await created(oci, change);
    const { pid, id } = container;
    assert.equal(await statusLine(pid, "CapBnd"), mask(sets.bounding));
    assert.equal(await statusLine(pid, "CapPrm"), mask(sets.permitted));
    assert.equal(await statusLine(pid, "CapEff"), mask(sets.effective));
    assert.equal(await statusLine(pid, "CapInh"), mask(sets.inheritable));
    assert.equal(await statusLine(pid, "CapAmb"), mask(sets.ambient));
    await oci.detached("start", id);
    // execve of a user leaves what is ambient.
    assert.equal(await statusLine(pid, "CapPrm"), mask(sets.ambient));
    assert.equal(await statusLine(pid, "CapEff"), mask(sets.ambient));
    assert.equal(await statusLine(pid, "CapBnd"), mask(sets.bounding));
  });

  test("root gets the bounding and inheritable ones at execve, a container without any none", async () => {
    await using root = await started(oci, set({ capabilities: sets }));
    assert.equal(await statusLine(root.pid, "CapEff"), mask(sets.bounding));
    await using none = await started(oci, (spec) => delete spec.process!.capabilities);
    for (const name of ["CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"]) {
      assert.equal(await statusLine(none.pid, name), mask([]));
    }
  });

  test("one that cannot be granted is left out with a warning, as the specification wants", async () => {
    const names = ["CAP_CHOWN", "CAP_LEVITATE"];
    const capabilities = {
      bounding: names,
      permitted: names,
      effective: names,
      ambient: ["CAP_KILL"],
    };
    const { id, bundle } = await oci.bundle(["status", "CapBnd", "CapAmb"], set({ capabilities }));
    const { code, stdout, stderr } = await oci.call("run", "-b", bundle, id);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /CapBnd:\s0000000000000001\nCapAmb:\s0000000000000000/);
    assert.match(stderr, /level=warning msg=.*CAP_LEVITATE/);
    assert.match(stderr, /level=warning msg=.*ambient.*CAP_KILL/);
  });
});

suite("limits and scores", () => {
  const LIMITS: [type: string, line: string, soft: number, hard: number][] = [
    ["RLIMIT_CPU", "Max cpu time", 5000, 6000],
    ["RLIMIT_FSIZE", "Max file size", 1_000_000, 2_000_000],
    ["RLIMIT_DATA", "Max data size", 1 << 28, 1 << 29],
    ["RLIMIT_STACK", "Max stack size", 1 << 20, 1 << 23],
    ["RLIMIT_CORE", "Max core file size", 0, 0],
    ["RLIMIT_RSS", "Max resident set", 1 << 28, 1 << 29],
    ["RLIMIT_NPROC", "Max processes", 100, 200],
    ["RLIMIT_NOFILE", "Max open files", 64, 128],
    ["RLIMIT_MEMLOCK", "Max locked memory", 4096, 8192],
    ["RLIMIT_AS", "Max address space", 1 << 30, 2 ** 53 + 2],
    ["RLIMIT_LOCKS", "Max file locks", 10, 20],
    ["RLIMIT_SIGPENDING", "Max pending signals", 20, 40],
    ["RLIMIT_MSGQUEUE", "Max msgqueue size", 4096, 8192],
    ["RLIMIT_NICE", "Max nice priority", 0, 0],
    ["RLIMIT_RTPRIO", "Max realtime priority", 0, 0],
    ["RLIMIT_RTTIME", "Max realtime timeout", 1_000_000, 2_000_000],
  ];

  test(`every kind of limit is set, soft and hard ${proves("config", "process.rlimits[]", "process.rlimits[].type", "process.rlimits[].soft", "process.rlimits[].hard")}`, async () => {
    const rlimits = LIMITS.map(([type, , soft, hard]) => ({ type, soft, hard }));
    await using container = await started(oci, set({ rlimits }));
    const text = await procText(container.pid, "limits");
    for (const [type, line, soft, hard] of LIMITS) {
      const found = text.split("\n").find((one) => one.startsWith(line));
      assert.match(`${found}`, new RegExp(`^${line}\\s+${soft}\\s+${hard}\\s`), type);
    }
  });

  test("a number that no double can hold is exact, and all ones are no limit", async () => {
    const exact = { type: "RLIMIT_AS", soft: 2n ** 53n + 1n, hard: 2n ** 53n + 3n };
    const none = { type: "RLIMIT_CPU", soft: 2n ** 64n - 1n, hard: 2n ** 64n - 1n };
    await using container = await started(oci, set({ rlimits: [exact, none] }));
    const text = await procText(container.pid, "limits");
    assert.match(text, /Max address space\s+9007199254740993\s+9007199254740995/);
    assert.match(text, /Max cpu time\s+unlimited\s+unlimited/);
  });

  test("a limit that is given twice, is unknown or impossible is refused", async () => {
    const one = { type: "RLIMIT_NOFILE", soft: 10, hard: 10 };
    const cases: [NonNullable<OciProcess["rlimits"]>, RegExp][] = [
      [[one, { ...one, soft: 5 }], /RLIMIT_NOFILE is given twice/],
      [[{ ...one, type: "RLIMIT_LEVITATION" }], /RLIMIT_LEVITATION.* is not valid/],
      [[{ ...one, type: "NOFILE" }], /type .*"NOFILE.* is not valid/],
      [
        [{ ...one, soft: 11 }],
        /rlimit type 7: RLIMIT_NOFILE to soft 11, hard \d+: invalid argument/,
      ],
    ];
    for (const [rlimits, message] of cases) {
      assert.match(await refusal(oci, set({ rlimits })), message);
    }
  });

  test(`no_new_privs and the OOM score are as asked ${proves("config", "process.noNewPrivileges", "process.oomScoreAdj")}`, async () => {
    await using strict = await started(oci, set({ noNewPrivileges: true, oomScoreAdj: 321 }));
    assert.equal(await statusLine(strict.pid, "NoNewPrivs"), "1");
    assert.equal(await procText(strict.pid, "oom_score_adj"), "321");
    await using lax = await started(oci, set({ noNewPrivileges: false, oomScoreAdj: 0 }));
    assert.equal(await statusLine(lax.pid, "NoNewPrivs"), "0");
    assert.equal(await procText(lax.pid, "oom_score_adj"), "0");
    assert.match(await refusal(oci, set({ oomScoreAdj: 1001 })), /oom_score_adj/);
  });
});

test(`labels of a security module that is not there are refused ${proves("config", "process.apparmorProfile", "process.selinuxLabel")}`, async () => {
  const { apparmor, selinux } = oci.runtime.kernel;
  const label = set({ selinuxLabel: "system_u:system_r:container_t:s0" });
  if (!selinux) assert.match(await refusal(oci, label), /selinux is not enabled/);
  const profile = set({ apparmorProfile: "no-such-profile" });
  const wanted = apparmor ? /apparmor/ : /apparmor is not enabled on this host/;
  assert.match(await refusal(oci, profile), wanted);
});
