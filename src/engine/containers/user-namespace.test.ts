import assert from "node:assert/strict";
import { test } from "node:test";
import type { KernelFeatures } from "../../runtime/index.ts";
import type { HostConfig } from "../../spec/index.ts";
import { parseBind } from "./mount-points.ts";
import { type SpecInput, toOciSpec } from "./oci-spec.ts";
import type { ContainerRecord } from "./record.ts";
import { hostUid, mappedRoot, throughUserns, usernsOption } from "./user-namespace.ts";

const map = (size: number) => [{ containerID: 0, hostID: 100_000, size }];
const maps = (size: number) => ({ uid: map(size), gid: map(size) });
const kernel = {
  arch: "x86_64",
  seccompActions: [] as string[],
  lastCapability: 40,
  heldCapabilities: 0n,
  cgroup: { version: 1, v1: new Map() },
} as unknown as KernelFeatures;

function spec(host: HostConfig, more: Partial<SpecInput> = {}) {
  return toOciSpec({
    id: "abc",
    config: {},
    hostConfig: { NetworkMode: "bridge", ...host },
    args: ["/bin/sh"],
    mounts: [],
    files: { hostname: "/c/hostname", hosts: "/c/hosts", resolvConf: "/c/resolv.conf" },
    accounts: { passwd: "", group: "" },
    joined: {},
    kernel,
    cgroupPath: "/gantry/abc",
    ...more,
  });
}
const mountAt = ({ mounts = [] }: ReturnType<typeof spec>, path: string) =>
  mounts.find(({ destination }) => destination === path);

test("a user namespace is in the spec with its maps, and the engine's files are mapped", () => {
  const made = spec({}, { userns: maps(65_536) });
  assert.ok(made.linux?.namespaces?.some(({ type, path }) => type === "user" && !path));
  assert.deepEqual(made.linux?.uidMappings, map(65_536));
  assert.deepEqual(mountAt(made, "/etc/hosts")?.gidMappings, map(65_536));
  assert.equal(made.linux?.sysctl?.["net.ipv4.ping_group_range"], "0 65535");
  assert.ok(mountAt(made, "/dev/pts")?.options?.includes("gid=5"));
  const joined = spec({}, { userns: maps(65_536), joined: { user: 7 } });
  assert.ok(joined.linux?.namespaces?.some(({ path }) => path === "/proc/7/ns/user"));
});

test("nothing of it is in the spec of a container of the host's users", () => {
  const made = spec({});
  assert.ok(!made.linux?.namespaces?.some(({ type }) => type === "user"));
  assert.ok(!("uidMappings" in made.linux!) && !("uidMappings" in mountAt(made, "/etc/hosts")!));
  assert.equal(made.linux?.sysctl?.["net.ipv4.ping_group_range"], "0 2147483647");
});

test("what a small range, the host's queues and devices elsewhere mean", () => {
  const small = spec({ IpcMode: "host" }, { userns: maps(3) });
  assert.ok(!mountAt(small, "/dev/pts")?.options?.some((option) => option.startsWith("gid=")));
  assert.equal(mountAt(small, "/dev/mqueue"), undefined);
  assert.equal(small.linux?.sysctl?.["net.ipv4.ping_group_range"], "0 2");
  const device = (PathInContainer: string) => ({
    Devices: [{ PathOnHost: "/dev/null", PathInContainer, CgroupPermissions: "r" }],
  });
  for (const path of ["/null", "/dev/../null", "/device"]) {
    assert.throws(() => spec(device(path), { userns: maps(3) }), /are beneath \/dev/, path);
    assert.doesNotThrow(() => spec(device(path)));
  }
  assert.doesNotThrow(() => spec(device("/dev/a/null"), { userns: maps(3) }));
});

test("the mode is said by its own option or by --security-opt, once", () => {
  assert.equal(usernsOption({}), "");
  assert.equal(usernsOption({ UsernsMode: "host" }), "host");
  assert.equal(
    usernsOption({ SecurityOpt: ["no-new-privileges", "userns=auto:size=5"] }),
    "auto:size=5",
  );
  assert.equal(usernsOption({ UsernsMode: "auto", SecurityOpt: ["userns=auto"] }), "auto");
  assert.throws(
    () => usernsOption({ UsernsMode: "host", SecurityOpt: ["userns=auto"] }),
    /conflicting/,
  );
});

test("ids go from the disk to the host through those of the container", () => {
  const c = { userns: maps(100) } as unknown as ContainerRecord;
  const seen = [{ containerID: 0, hostID: 33, size: 1 }];
  assert.deepEqual(throughUserns(c, { uid: seen, gid: seen }).uid, [
    { containerID: 0, hostID: 100_033, size: 1 },
  ]);
  assert.equal(hostUid(c.userns, 5), 100_005);
  assert.equal(hostUid(undefined, 5), 5);
  const overlay = { kind: "overlay", lowerDirs: [], upperDir: "/u", workDir: "/w" } as const;
  assert.deepEqual(mappedRoot(c, overlay), { ...overlay, idMaps: maps(100) });
  assert.equal(mappedRoot({} as ContainerRecord, overlay), overlay);
});

test("idmap=none is a mode of a mount", () => {
  assert.equal(parseBind("data:/d:idmap=none").idmap, "none");
  assert.equal(parseBind("/srv:/d:ro,idmap=none").idmap, "none");
});
