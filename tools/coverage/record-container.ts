// A second container for the recorder: what shows only with a device, a limit of a disk, an address
// of IPv6, a cold file to read or a start that fails.

import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { IMAGE } from "../../test/e2e/harness.ts";
import { RegistryProcess } from "../../test/support/registry-process.ts";

const NAME = "coverage-more";
const COLD = "cold";
const DEVICE_KIND = "coverage.test/device";

export type Ask = (
  operation: string,
  method: string,
  path: string,
  body?: unknown,
) => Promise<unknown>;

/** Describes a CDI device in `folder`, for the daemon's --cdi-spec-dir. */
export async function describeDevice(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const containerEdits = { env: ["COVERAGE=1"] };
  const devices = [{ name: "one", containerEdits }];
  const spec = { cdiVersion: "0.6.0", kind: DEVICE_KIND, devices };
  await writeFile(join(folder, "coverage.json"), JSON.stringify(spec));
}

export async function recordContainer(ask: Ask): Promise<void> {
  const volume = (await ask("VolumeCreate", "POST", "/volumes/create", { Name: NAME })) as {
    Mountpoint: string;
  };
  await mkdir(join(volume.Mountpoint, "sub"));
  await writeCold(join(volume.Mountpoint, COLD));
  await ask("NetworkCreate", "POST", "/networks/create", {
    Name: NAME,
    EnableIPv6: true,
    IPAM: { Config: [{ Subnet: "10.202.0.0/24" }, { Subnet: "fd00:c0::/64" }] },
  });
  const disk = await someDisk();
  await ask("ContainerCreate", "POST", `/containers/create?name=${NAME}`, created(disk));
  await ask("", "POST", `/containers/${NAME}/start`);
  const exec = { Cmd: ["/bin/cat", `/all/${COLD}`] };
  for (const Cmd of [exec.Cmd, ["/bin/write", "/own", "something"]]) {
    const { Id } = (await ask("", "POST", `/containers/${NAME}/exec`, { Cmd })) as { Id: string };
    await ask("", "POST", `/exec/${Id}/start`, { Detach: true });
  }
  // The answer with an earlier sample comes a second later: the file has been read by then.
  await ask("ContainerStats", "GET", `/containers/${NAME}/stats?stream=0`);
  await ask("ContainerList", "GET", "/containers/json?all=1&size=1");
  await ask("ContainerInspect", "GET", `/containers/${NAME}/json?size=1`);
  await ask("", "DELETE", `/containers/${NAME}?force=1&v=1`);
  await recordFailure(ask);
  await ask("", "DELETE", `/networks/${NAME}`);
  await ask("", "DELETE", `/volumes/${NAME}`);
}

/** What is known only of an image that came from a registry: its manifest. */
export async function recordPulled(ask: Ask, daemonPid: number): Promise<void> {
  const registry = await RegistryProcess.start({ netnsOf: daemonPid });
  const name = `${registry.host}/${NAME}`;
  try {
    // An image of its own: one that is known already keeps what was known of it.
    const plain = { Image: IMAGE, Cmd: ["/bin/true"], HostConfig: { NetworkMode: "none" } };
    await ask("", "POST", `/containers/create?name=${NAME}`, plain);
    await ask("ImageCommit", "POST", `/commit?container=${NAME}&repo=${name}&tag=1&comment=why`);
    await ask("", "DELETE", `/containers/${NAME}`);
    await ask("", "POST", `/images/${name}/push?tag=1`);
    await ask("DistributionInspect", "GET", `/distribution/${name}:1/json`);
    await ask("ImageDelete", "DELETE", `/images/${name}:1`);
    await ask("", "POST", `/images/create?fromImage=${name}&tag=1`);
    await ask("ImageList", "GET", "/images/json?shared-size=1&manifests=1");
    await ask("ImageInspect", "GET", `/images/${name}:1/json`);
    await ask("ImageInspect", "GET", `/images/${name}:1/json?manifests=1`);
    const body = { Image: `${name}:1`, Cmd: ["/bin/true"], HostConfig: { NetworkMode: "none" } };
    await ask("", "POST", `/containers/create?name=${NAME}&platform=linux`, body);
    await ask("ContainerList", "GET", "/containers/json?all=1");
    await ask("ContainerInspect", "GET", `/containers/${NAME}/json`);
    await ask("", "DELETE", `/containers/${NAME}`);
    await ask("ImageDelete", "DELETE", `/images/${name}:1`);
  } finally {
    await registry.stop();
  }
}

/** A start that failed is known to whoever waits. */
async function recordFailure(ask: Ask): Promise<void> {
  const body = { Image: IMAGE, Cmd: ["/nothing"], HostConfig: { NetworkMode: "none" } };
  await ask("", "POST", `/containers/create?name=${NAME}`, body);
  await ask("", "POST", `/containers/${NAME}/start`).catch(() => {});
  await ask("ContainerWait", "POST", `/containers/${NAME}/wait`);
  await ask("", "DELETE", `/containers/${NAME}`);
  const without = { ...body, Cmd: ["/bin/true"], NetworkDisabled: true };
  await ask("", "POST", `/containers/create?name=${NAME}`, without);
  await ask("ContainerInspect", "GET", `/containers/${NAME}/json`);
  await ask("", "DELETE", `/containers/${NAME}`);
}

function created(disk: string): object {
  const rate = [{ Path: disk, Rate: 1 << 30 }];
  const rates = disk === "" ? [] : rate;
  return {
    Image: IMAGE,
    Cmd: ["/bin/sleep", "600"],
    ArgsEscaped: true,
    HostConfig: {
      NetworkMode: NAME,
      Init: true,
      StorageOpt: { size: "64m" },
      BlkioDeviceReadBps: rates,
      BlkioDeviceWriteBps: rates,
      BlkioDeviceReadIOps: rates,
      BlkioDeviceWriteIOps: rates,
      OomScoreAdj: 100,
      DeviceRequests: [{ Driver: "cdi", DeviceIDs: [`${DEVICE_KIND}=one`] }],
      Mounts: [
        { Type: "volume", Source: NAME, Target: "/all" },
        { Type: "volume", Source: NAME, Target: "/sub", VolumeOptions: { Subpath: "sub" } },
        { Type: "image", Source: IMAGE, Target: "/image", ImageOptions: { Subpath: "bin" } },
        {
          Type: "bind",
          Source: "/usr",
          Target: "/flat",
          ReadOnly: true,
          BindOptions: { ReadOnlyNonRecursive: true },
        },
        {
          Type: "bind",
          Source: "/usr",
          Target: "/deep",
          ReadOnly: true,
          BindOptions: { ReadOnlyForceRecursive: true, Propagation: "rprivate" },
        },
        { Type: "tmpfs", Target: "/tmp", TmpfsOptions: { Options: [["exec"]] } },
      ],
    },
    NetworkingConfig: {
      EndpointsConfig: {
        [NAME]: { IPAMConfig: { IPv6Address: "fd00:c0::9", LinkLocalIPs: ["169.254.9.9"] } },
      },
    },
  };
}

/** A file that is on the disk but not in memory, so that reading it counts. */
async function writeCold(path: string): Promise<void> {
  await promisify(execFile)("dd", [
    ...["if=/dev/zero", `of=${path}`, "bs=64k", "count=4", "oflag=direct"],
  ]);
}

/** A block device of this machine that has a node; "" where there is none. */
async function someDisk(): Promise<string> {
  const names = (await readFile("/proc/partitions", "utf8")).matchAll(
    /^\s+\d+\s+\d+\s+\d+ (\S+)$/gm,
  );
  for (const [, name] of names) {
    const path = `/dev/${name}`;
    const found = await promisify(execFile)("test", ["-b", path]).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return "";
}
