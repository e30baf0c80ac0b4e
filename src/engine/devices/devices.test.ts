import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { silentLogger } from "../../base/index.ts";
import type { OciSpec } from "../../spec/index.ts";
import { applyDeviceEdits, discoveredDevices, requestedDevices } from "./index.ts";
import { parseDeviceSpec } from "./parse-spec.ts";

const spec = (more: object) =>
  JSON.stringify({ cdiVersion: "0.6.0", kind: "vendor.com/device", ...more });
const DEVICE = { name: "a", containerEdits: { env: ["A=1"] } };

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "gantry-cdi-"));
});
after(() => rm(root, { recursive: true, force: true }));

async function folder(name: string, files: Record<string, string>): Promise<string> {
  const path = join(root, name);
  await mkdir(path);
  for (const [file, text] of Object.entries(files)) await writeFile(join(path, file), text);
  return path;
}
const engine = (...cdiSpecDirs: string[]) =>
  ({ options: { cdiSpecDirs }, log: silentLogger }) as unknown as Parameters<
    typeof requestedDevices
  >[0];
const cdi = (...DeviceIDs: string[]) => ({ DeviceRequests: [{ Driver: "cdi", DeviceIDs }] });

test("a spec in YAML is read whole", () => {
  const parsed = parseDeviceSpec(`
cdiVersion: "0.5.0"
kind: vendor.com/device
devices:
  - name: "0"
    containerEdits:
      deviceNodes:
        - {path: /dev/card0, hostPath: /dev/null, permissions: rw, fileMode: 438}
      mounts:
        - {hostPath: /usr/lib/x, containerPath: /opt/x, options: [ro, nosuid]}
containerEdits:
  env: [VENDOR=yes]
`);
  assert.equal(parsed.kind, "vendor.com/device");
  assert.deepEqual(parsed.edits.env, ["VENDOR=yes"]);
  assert.deepEqual(parsed.devices[0]?.edits.mounts, [
    {
      destination: "/opt/x",
      source: "/usr/lib/x",
      type: "bind",
      options: ["ro", "nosuid", "rbind"],
    },
  ]);
});

test("a spec that is broken or hostile is refused", () => {
  const device = (containerEdits: object) => spec({ devices: [{ name: "a", containerEdits }] });
  for (const [text, why] of [
    ["{", /neither YAML nor JSON/],
    ["[]", /not an object/],
    ["a: &a [x]\nb: *a", /neither YAML nor JSON/],
    [spec({ cdiVersion: "9.0.0", devices: [DEVICE] }), /version "9.0.0"/],
    [spec({ kind: "nothing", devices: [DEVICE] }), /kind "nothing"/],
    [spec({ kind: "../../x/y", devices: [DEVICE] }), /kind/],
    [spec({ devices: [] }), /no devices/],
    [spec({ devices: [DEVICE, DEVICE] }), /twice/],
    [spec({ devices: [{ name: "a/b" }] }), /device name/],
    [device({ env: ["=x"] }), /environment variable/],
    [device({ surprise: [] }), /unknown container edit "surprise"/],
    [device({ deviceNodes: [{ path: "dev/x" }] }), /not absolute/],
    [device({ deviceNodes: [{ path: "/dev/x", major: -1 }] }), /major/],
    [device({ deviceNodes: [{ path: "/dev/x", type: "z" }] }), /device type/],
    [device({ mounts: [{ hostPath: "x", containerPath: "/x" }] }), /not absolute/],
    [device({ hooks: [{ hookName: "whenever", path: "/x" }] }), /hook name/],
    [device({ hooks: [{ hookName: "poststop", path: "x" }] }), /not absolute/],
    [device({ hooks: [{ hookName: "poststop", path: "/x", when: 1 }] }), /unknown field "when"/],
    [device({ hooks: [{ hookName: "poststop", path: "/x", timeout: -1 }] }), /hook timeout/],
    [device({ additionalGids: ["root"] }), /additional gid/],
  ] as const) {
    assert.throws(() => parseDeviceSpec(text), why, text);
  }
});

test("a device's edits replace what the container has under the same name", async () => {
  const path = await folder("edits", {
    "a.json": spec({
      containerEdits: { env: ["VENDOR=1"] },
      devices: [
        {
          name: "a",
          containerEdits: {
            env: ["PATH=/opt/bin"],
            deviceNodes: [{ path: "/dev/mine", hostPath: "/dev/null", permissions: "r" }],
            mounts: [{ hostPath: "/lib", containerPath: "/x/y/z" }],
            additionalGids: [44],
          },
        },
        { name: "b", containerEdits: { env: ["B=1"] } },
      ],
    }),
  });
  const edits = await requestedDevices(
    engine(path),
    cdi("vendor.com/device=a", "vendor.com/device=b"),
  );
  const before: OciSpec = {
    ociVersion: "1.2.1",
    process: { cwd: "/", user: { uid: 7, gid: 0 }, env: ["PATH=/bin", "X=1"] },
    mounts: [{ destination: "/x/y/z" }, { destination: "/x/y/z/w" }, { destination: "/x" }],
    linux: { devices: [{ path: "/dev/mine", type: "b" }] },
  };
  const changed = applyDeviceEdits(before, edits);
  assert.deepEqual(changed.process?.env, ["X=1", "VENDOR=1", "PATH=/opt/bin", "B=1"]);
  assert.deepEqual(changed.process?.user.additionalGids, [44]);
  assert.deepEqual(
    changed.mounts?.map(({ destination }) => destination),
    ["/x", "/x/y/z", "/x/y/z/w"],
  );
  const [device] = changed.linux?.devices ?? [];
  assert.deepEqual(
    [device?.path, device?.type, device?.major, device?.minor, device?.uid],
    ["/dev/mine", "c", 1, 3, 7],
  );
  assert.deepEqual(changed.linux?.resources?.devices, [
    { allow: true, type: "c", major: 1, minor: 3, access: "r" },
  ]);
});

test("a later folder wins; a conflict within one gives the device to nobody", async () => {
  const low = await folder("low", { "a.json": spec({ devices: [DEVICE] }) });
  const high = await folder("high", {
    "a.json": spec({ devices: [{ name: "a", containerEdits: { env: ["A=2"] } }] }),
  });
  const twice = await folder("twice", {
    "a.json": spec({ devices: [DEVICE, { name: "only" }] }),
    "b.json": spec({ devices: [DEVICE] }),
    "broken.yaml": "nonsense: [",
    "other.txt": "not read",
  });
  const env = async (...folders: string[]) =>
    (await requestedDevices(engine(...folders), cdi("vendor.com/device=a"))).flatMap((e) => e.env);
  assert.deepEqual(await env(low, high), ["A=2"]);
  assert.deepEqual(await env(high, low), ["A=1"]);
  await assert.rejects(
    env(low, twice),
    /^GantryError: CDI device injection failed: unresolvable CDI devices vendor.com\/device=a$/,
  );
  const { devices, warnings } = await discoveredDevices(engine(join(root, "nowhere"), twice));
  assert.deepEqual(devices, [{ Source: "cdi", ID: "vendor.com/device=only" }]);
  assert.equal(warnings.length, 2);
});

test("a pipe, a folder and a huge file among the specs hold nobody up", async () => {
  const path = await folder("strange", { "good.json": spec({ devices: [DEVICE] }) });
  execFileSync("mkfifo", [join(path, "pipe.json")]);
  await mkdir(join(path, "folder.yaml"));
  await writeFile(join(path, "huge.yaml"), Buffer.alloc((4 << 20) + 1, " "));
  const { devices, warnings } = await discoveredDevices(engine(path));
  assert.deepEqual([devices.length, warnings.length], [1, 3]);
});

test("GPUs are those that a vendor describes, by number, by name or all", async () => {
  const gpu = (name: string) => ({ name, containerEdits: { env: [`GPU=${name}`] } });
  const path = await folder("gpus", {
    "nvidia.json": spec({ kind: "nvidia.com/gpu", devices: ["0", "1", "all"].map(gpu) }),
  });
  const ask = async (request: object, ...folders: string[]) => {
    const DeviceRequests = [{ Capabilities: [["gpu"]], ...request }];
    const edits = await requestedDevices(engine(...folders), { DeviceRequests });
    return edits.flatMap((edit) => edit.env);
  };
  assert.deepEqual(await ask({ Count: -1 }, path), ["GPU=all"]);
  assert.deepEqual(await ask({ Count: 2 }, path), ["GPU=0", "GPU=1"]);
  assert.deepEqual(await ask({ Driver: "nvidia", DeviceIDs: ["1"] }, path), ["GPU=1"]);
  await assert.rejects(ask({ Count: 3 }, path), /unresolvable CDI devices nvidia.com\/gpu=2/);
  await assert.rejects(ask({ Count: 2 ** 40 }, path), /unresolvable CDI devices/);
  await assert.rejects(
    ask({ Count: -1 }),
    /could not select device driver "" with capabilities: \[\[gpu\]\]/,
  );
  await assert.rejects(
    ask({ Driver: "nvidia", Capabilities: [["tpu", "x"]] }, path),
    /could not select device driver "nvidia" with capabilities: \[\[tpu x\]\]/,
  );
});

test("hooks are added at their points, in the order of the devices", async () => {
  const hook = (hookName: string, path: string, more: object = {}) => ({ hookName, path, ...more });
  const more = { args: ["cdi-hook", "x"], env: ["A=1"], timeout: 3 };
  const path = await folder("hooks", {
    "a.json": spec({
      containerEdits: { hooks: [hook("createContainer", "/spec")] },
      devices: [
        { name: "a", containerEdits: { hooks: [hook("createContainer", "/device", more)] } },
        { name: "b", containerEdits: { hooks: [hook("poststop", "/end")] } },
      ],
    }),
  });
  const names = ["vendor.com/device=a", "vendor.com/device=b"];
  const before: OciSpec = { ociVersion: "1.2.1", hooks: { poststop: [{ path: "/own" }] } };
  const { hooks } = applyDeviceEdits(before, await requestedDevices(engine(path), cdi(...names)));
  assert.deepEqual(hooks, {
    createContainer: [
      { path: "/spec", args: [], env: [] },
      { path: "/device", args: ["cdi-hook", "x"], env: ["A=1"], timeout: 3 },
    ],
    poststop: [{ path: "/own" }, { path: "/end", args: [], env: [] }],
  });
});
