// SELinux with Debian's policy, enforcing: the engine's containers and gantry-runtime's. Labels are
// read from outside; what they forbid is tried from inside. The engine's own domain (dockerd_t) is
// permissive here, for the machine's files have no labels (../policy/gantry.cil).

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, cpSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { HostConfig } from "dockerode";
import { root } from "../../e2e/harness.ts";
import { OciFixture } from "../../support/oci-fixture.ts";
import { GuestDaemon } from "../containers.ts";

const SELINUX = "/sys/fs/selinux";
const PROCESS = /^system_u:system_r:container_t:s0:c\d+,c\d+$/;
const FILE = /^system_u:object_r:container_file_t:s0:c\d+,c\d+$/;
const ENGINE = "system_u:object_r:dockerd_exec_t:s0";
/** As /var/lib/gantry is to have it. */
const DATA = "system_u:object_r:container_var_lib_t:s0";
/** Of files of the host's users. */
const HOME = "system_u:object_r:user_home_t:s0";
const NOBODYS = "system_u:object_r:container_file_t:s0:c1022,c1023";

const text = (path: string): string => readFileSync(path, "utf8").replace(/[\n\0]+$/, "");
const labelOf = (path: string): string =>
  execFileSync("stat", ["-L", "-c", "%C", path], { encoding: "utf8" }).trim();
const chcon = (label: string, ...paths: string[]) => execFileSync("chcon", [label, ...paths]);
const levelOf = (label: string): string => label.split(":").slice(3).join(":");

/** As an installed host has it at boot. */
function enforcePolicy(): void {
  const policy = process.env["GANTRY_VM_POLICY"] ?? assert.fail("The machine has no policy");
  cpSync(join(policy, "contexts"), "/etc/selinux/default/contexts", { recursive: true });
  writeFileSync("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=default\n");
  const data = readFileSync(join(policy, "policy"));
  const fd = openSync(join(SELINUX, "load"), "w");
  // The kernel takes it in one write.
  assert.equal(writeSync(fd, data), data.length);
  closeSync(fd);
  assert.equal(text(join(SELINUX, "enforce")), "1");
  chcon(ENGINE, join(root, "bin/gantry"), join(root, "bin/gantry-runtime"));
  chcon(DATA, "/var/tmp");
  chcon("system_u:object_r:null_device_t:s0", "/dev/null");
}

/** What the kernel has denied containers last, for the message of a failure. */
function denials(): string {
  const lines = execFileSync("dmesg", { encoding: "utf8" }).split("\n");
  return lines
    .filter((line) => /avc:.*scontext=\S*container/.test(line))
    .slice(-5)
    .join("\n");
}

describe("SELinux with a policy that is enforced", () => {
  const guest = new GuestDaemon("--selinux-enabled");
  const inspect = (id: string) => guest.daemon.dockerode.getContainer(id).inspect();
  const labels = async (id: string) => {
    const { ProcessLabel, MountLabel } = await inspect(id);
    const own = text(`/proc/${await guest.pid(id)}/attr/current`);
    return { process: ProcessLabel, mount: MountLabel, own };
  };
  const folder = async (): Promise<string> => {
    const path = await mkdtemp(join(tmpdir(), "label-"));
    await writeFile(join(path, "file"), "secret\n");
    chcon(HOME, path, join(path, "file"));
    return path;
  };
  const reads = async (path: string, host: HostConfig): Promise<boolean> => {
    const { code, output } = await guest.run(["cat", path], host);
    assert.match(output, code === 0 ? /^secret/ : /Permission denied/);
    return code === 0;
  };

  before(async () => {
    enforcePolicy();
    await guest.begin();
  });
  after(() => guest.stop());

  test("info lists it, and the engine is in its domain", async () => {
    const { SecurityOptions, Warnings } = await guest.daemon.dockerode.info();
    assert.ok((SecurityOptions as string[]).includes("name=selinux"));
    assert.doesNotMatch(JSON.stringify(Warnings ?? []), /selinux/i);
    assert.match(text(`/proc/${await guest.daemon.pid()}/attr/current`), /:dockerd_t:/);
  });

  test("each container has a label and categories of its own, and so have its execs", async () => {
    const [a, b] = [await guest.start(["sleep", "100"]), await guest.start(["sleep", "100"])];
    const [one, other] = [await labels(a), await labels(b)];
    assert.match(one.process, PROCESS, denials());
    assert.match(one.mount, FILE);
    assert.equal(one.own, one.process);
    assert.equal(levelOf(one.process), levelOf(one.mount));
    assert.notEqual(one.process, other.process);
    const { output } = await guest.exec(a, "cat", "/proc/self/attr/current");
    assert.equal(output.replace(/[\n\0]+$/, ""), one.process);
    await guest.remove(a);
    await guest.remove(b);
  });

  test("what is mounted in a container has its label", async () => {
    const id = await guest.start(["sleep", "100"], { Tmpfs: { "/scratch": "" } });
    const { mount } = await labels(id);
    const inside = `/proc/${await guest.pid(id)}/root`;
    for (const path of ["", "/bin", "/dev", "/dev/shm", "/dev/mqueue", "/dev/pts", "/scratch"]) {
      assert.equal(labelOf(inside + path), mount, path);
    }
    for (const path of ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]) {
      assert.equal(labelOf(inside + path), mount, path);
      assert.equal((await guest.exec(id, "cat", path)).code, 0, denials());
    }
    for (const path of ["/scratch/x", "/dev/shm/x", "/tmp"]) {
      const command = path === "/tmp" ? ["mkdir", "/made"] : ["write", path, "x"];
      assert.equal((await guest.exec(id, ...command)).code, 0, denials());
    }
    await guest.remove(id);
  });

  test("a terminal and an init work under it", async () => {
    const { dockerode } = guest.daemon;
    const made = { Image: "payload:latest", Tty: true, HostConfig: { Init: true } };
    const container = await dockerode.createContainer({ ...made, Cmd: ["tty"] });
    await container.start();
    assert.equal(await guest.exitCode(container.id), 0, denials());
    await guest.remove(container.id);
  });

  test("a private folder (:Z) is one container's, a shared one (:z) is all containers'", async () => {
    const path = await folder();
    const bind = (mode: string): HostConfig => ({ Binds: [`${path}:/data${mode}`] });
    assert.equal(await reads("/data/file", bind("")), false, "a label of the host's");
    const owner = await guest.start(["sleep", "100"], bind(":Z"));
    assert.equal((await guest.exec(owner, "cat", "/data/file")).output, "secret\n", denials());
    assert.equal(labelOf(join(path, "file")), (await labels(owner)).mount);
    assert.equal(await reads("/data/file", bind("")), false, "another's");
    assert.equal(await reads("/data/file", bind(":z")), true, denials());
    assert.equal(labelOf(join(path, "file")), "system_u:object_r:container_file_t:s0");
    assert.equal(await reads("/data/file", bind("")), true, denials());
    assert.equal((await guest.exec(owner, "cat", "/data/file")).output, "secret\n");
    await guest.remove(owner);
  });

  test("links in a folder lead its relabelling nowhere", async () => {
    const [path, other] = [await folder(), await folder()];
    await mkdir(join(path, "sub"));
    execFileSync("ln", ["-s", other, join(path, "sub/link")]);
    const before = labelOf(other);
    assert.equal(await reads("/data/file", { Binds: [`${path}:/data:Z`] }), true, denials());
    assert.equal(labelOf(other), before);
    assert.equal(labelOf(join(other, "file")), before);
    assert.match(labelOf(join(path, "sub")), FILE);
  });

  test("named volumes are shared, through containers that come and go", async () => {
    const Binds = ["shared-data:/data"];
    const { code } = await guest.run(["write", "/data/file", "secret"], { Binds });
    assert.equal(code, 0, denials());
    assert.equal(await reads("/data/file", { Binds }), true, denials());
  });

  test("folders of the host are not relabelled", async () => {
    for (const path of ["/etc", "/usr", "/var/tmp/../lib", "/proc/self/root/etc"]) {
      const before = labelOf(path);
      const refused = guest.start(["true"], { Binds: [`${path}:/data:Z`] });
      await assert.rejects(refused, /SELinux relabeling of \/(etc|usr|var\/lib) is not allowed/);
      assert.equal(labelOf(path), before);
    }
  });

  test("without a label, and with the host's namespaces, a container is not confined", async () => {
    const path = await folder();
    const Binds = [`${path}:/data`];
    const free: HostConfig[] = [
      { SecurityOpt: ["label=disable"] },
      { Privileged: true },
      { PidMode: "host" },
      { IpcMode: "host" },
    ];
    for (const host of free) {
      const id = await guest.start(["sleep", "100"], { ...host, Binds });
      const { process, mount, own } = await labels(id);
      assert.deepEqual({ process, mount }, { process: "", mount: NOBODYS });
      assert.doesNotMatch(own, /container_t/);
      assert.equal((await guest.exec(id, "cat", "/data/file")).output, "secret\n");
      await guest.remove(id);
    }
  });

  test("a label's parts can be chosen, and only those that the policy has", async () => {
    const SecurityOpt = ["label=type:container_kvm_t", "label=level:s0:c7,c8"];
    const id = await guest.start(["sleep", "100"], { SecurityOpt });
    const { process, mount, own } = await labels(id);
    assert.equal(process, "system_u:system_r:container_kvm_t:s0:c7,c8");
    assert.equal(own, process);
    assert.equal(mount, "system_u:object_r:container_file_t:s0:c7,c8");
    await guest.remove(id);
    for (const [option, why] of [
      ["label=type:no_such_t", /no_such_t.* is not in the policy/],
      ["label=colour:blue", /bad label option "colour"/],
      ["label=nonsense", /bad label option "nonsense"/],
    ] as const) {
      await assert.rejects(guest.start(["true"], { SecurityOpt: [option] }), why);
    }
  });

  test("who joins a container's namespaces has its label, and reaches its memory", async () => {
    const donor = await guest.start(["sleep", "100"], { IpcMode: "shareable" });
    await guest.exec(donor, "write", "/dev/shm/file", "secret");
    const id = await guest.start(["sleep", "100"], { IpcMode: `container:${donor}` });
    assert.equal((await labels(id)).own, (await labels(donor)).own);
    const { output } = await guest.exec(id, "cat", "/dev/shm/file");
    assert.equal(output, "secret\n", denials());
    await guest.remove(id);
    await guest.remove(donor);
  });

  test("labels outlive a daemon that is killed, and nobody else gets them", async () => {
    const id = await guest.start(["sleep", "100"]);
    const before = await labels(id);
    await guest.daemon.restart("SIGKILL");
    assert.deepEqual(await labels(id), before);
    const { output } = await guest.exec(id, "cat", "/proc/self/attr/current");
    assert.equal(output.replace(/[\n\0]+$/, ""), before.own);
    const other = await guest.start(["sleep", "100"]);
    assert.notEqual(levelOf((await labels(other)).own), levelOf(before.own));
    await guest.remove(id);
    await guest.remove(other);
  });
});

describe("gantry-runtime and SELinux", () => {
  let oci: OciFixture;
  before(async () => {
    oci = await OciFixture.make();
  });
  after(() => oci[Symbol.asyncDispose]());

  test("the labels of a bundle are those of its process, its execs and its mounts", async () => {
    const level = "s0:c11,c12";
    const label = `system_u:system_r:container_t:${level}`;
    const mount = `system_u:object_r:container_file_t:${level}`;
    execFileSync("chcon", ["-R", mount, oci.rootfs]);
    const { id, bundle } = await oci.bundle(["sleep", "100"], (spec) => {
      spec.process!.selinuxLabel = label;
      spec.linux!.mountLabel = mount;
    });
    await oci.detached("run", "-d", "-b", bundle, id);
    const { pid, status } = await oci.state(id);
    assert.equal(status, "running", denials());
    assert.equal(text(`/proc/${pid}/attr/current`), label);
    for (const path of ["/dev", "/dev/shm", "/dev/mqueue"]) {
      assert.equal(labelOf(`/proc/${pid}/root${path}`), mount, path);
    }
    // The streams of a caller that is no engine are closed to it: labels are read from outside.
    const other = label.replace("container_t", "container_kvm_t");
    for (const [flags, expected] of [
      [[], label],
      [["--process-label", other], other],
    ] as const) {
      const file = join(bundle, "exec-pid");
      await oci.detached("exec", "-d", "--pid-file", file, ...flags, id, "sleep", "100");
      assert.equal(text(`/proc/${text(file)}/attr/current`), expected, denials());
    }
    await oci.ok("delete", "-f", id);
  });

  test("a label that the policy does not have is an error", async () => {
    const { id, bundle } = await oci.bundle(["true"], (spec) => {
      spec.process!.selinuxLabel = "system_u:system_r:no_such_t:s0";
    });
    const { code, stderr } = await oci.call("run", "-b", bundle, id);
    assert.notEqual(code, 0);
    assert.match(stderr, /attr\/exec.*[Ii]nvalid argument/);
    assert.equal(await readFile(join(SELINUX, "enforce"), "utf8"), "1");
  });
});
