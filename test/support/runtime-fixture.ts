// Real containers without an engine: Docker's host config → OCI spec → plan → native program, on a
// root file system of the payload. What a test sees is what the kernel made.

import { mkdir } from "node:fs/promises";
import {
  maskedPathsDefault,
  readonlyPathsDefault,
} from "../../src/engine/containers/host-config.ts";
import { toOciSpec } from "../../src/engine/containers/oci-spec.ts";
import type { MountRecord } from "../../src/engine/containers/record.ts";
import { connectMonitor, type ExitStatus, type Monitor } from "../../src/native/index.ts";
import type { KernelFeatures, PlannedCreate, RdtState } from "../../src/runtime/index.ts";
import { type ExecInput, planCreate, planExec, probeKernel } from "../../src/runtime/index.ts";
import type {
  ContainerConfig,
  HostConfig,
  OciProcess,
  OciSpec,
  RootfsMount,
} from "../../src/spec/index.ts";
import { demultiplex, NativeFixture, readAll } from "./native-fixture.ts";

const ACCOUNTS = {
  passwd: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n",
  group: "root:x:0:\napp:x:1000:\nextra:x:2000:app\n",
};
const ALL = { stdin: true, stdout: true, stderr: true };

export interface ContainerOptions {
  config?: ContainerConfig;
  host?: HostConfig;
  mounts?: MountRecord[];
  joined?: { network?: number; pid?: number; ipc?: number };
  /** Changes the spec before it is planned. */
  change?: (spec: OciSpec) => void;
  rootfs?: (folder: string) => RootfsMount;
  kernel?: KernelFeatures;
  rdt?: RdtState;
}

export interface Container {
  id: string;
  pid: number;
  spec: OciSpec;
  planned: PlannedCreate;
  monitor: Monitor;
}
export interface Output {
  stdout: string;
  stderr: string;
  exit: ExitStatus;
}

export class RuntimeFixture implements AsyncDisposable {
  readonly native: NativeFixture;
  readonly kernel: KernelFeatures;
  #monitors: Monitor[] = [];
  #count = 0;

  private constructor(native: NativeFixture, kernel: KernelFeatures) {
    this.native = native;
    this.kernel = kernel;
  }

  static async make(): Promise<RuntimeFixture> {
    const native = await NativeFixture.make();
    return new RuntimeFixture(native, await probeKernel(native.spawner));
  }

  /** Of a /proc/PID/cgroup: a hierarchy that somebody has mounted since is none of ours. */
  ownLines(cgroups: string): string[] {
    const { v1, v2 } = this.kernel.cgroup;
    const lines = cgroups.trim().split("\n");
    return lines.filter((line) => {
      const controllers = line.split(":")[1]!;
      return controllers === "" ? v2 !== undefined : controllers.split(",").some((c) => v1.has(c));
    });
  }

  spec(id: string, args: string[], o: ContainerOptions): OciSpec {
    const spec = toOciSpec({
      id,
      config: { Hostname: "boxed", Env: ["PATH=/bin"], ...o.config },
      hostConfig: {
        NetworkMode: "none",
        CgroupnsMode: "host",
        IpcMode: "private",
        MaskedPaths: maskedPathsDefault,
        ReadonlyPaths: readonlyPathsDefault,
        ...o.host,
      },
      args,
      mounts: o.mounts ?? [],
      files: { hostname: "/etc/hostname", hosts: "/etc/hosts", resolvConf: "/etc/hosts" },
      accounts: ACCOUNTS,
      joined: o.joined ?? {},
      kernel: this.kernel,
      cgroupPath: `/gantry-test-${process.pid}/${id}`,
    });
    o.change?.(spec);
    return spec;
  }

  plan(id: string, args: string[], o: ContainerOptions): [OciSpec, PlannedCreate] {
    const spec = this.spec(id, args, o);
    const { rootfs: folder } = this.native;
    const planned = planCreate({
      id,
      spec,
      rootfs: o.rootfs?.(folder) ?? { kind: "bind", path: folder },
      kernel: o.kernel ?? this.kernel,
      ...(o.rdt && { rdt: o.rdt }),
      monitor: this.native.config(id, {
        terminal: o.config?.Tty === true,
        openStdin: o.config?.OpenStdin === true,
        holdMs: 30_000,
      }),
    });
    return [spec, planned];
  }

  async start(args: string[], o: ContainerOptions = {}): Promise<Container> {
    const id = `rt${process.pid}x${++this.#count}`;
    const [spec, planned] = this.plan(id, args, o);
    const created = await this.native.spawner.create(planned.plan, planned.monitor);
    const monitor = await connectMonitor(planned.monitor.socketPath);
    this.#monitors.push(monitor);
    return { id, pid: created.pid, spec, planned, monitor };
  }

  /** Runs to the end. */
  async run(args: string[], o: ContainerOptions = {}): Promise<Output> {
    const { monitor } = await this.start(args, o);
    const stream = await monitor.attach("", { ...ALL, stdin: o.config?.OpenStdin === true });
    monitor.release();
    const data = await readAll(stream);
    const streams = o.config?.Tty ? { stdout: data.toString(), stderr: "" } : demultiplex(data);
    return { ...streams, exit: await monitor.exited };
  }

  /** Standard output of the verbs, one after the other. */
  async see(verbs: string[], o: ContainerOptions = {}): Promise<string> {
    const { stdout, stderr, exit } = await this.run(["seq", ...verbs], o);
    if (exit.code !== 0) throw new Error(`exit ${exit.code}: ${stdout}${stderr}`);
    return stdout;
  }

  async exec(
    container: Container,
    args: string[],
    process: Partial<OciProcess> = {},
    more: Partial<ExecInput> = {},
  ): Promise<Output> {
    const execId = `exec${++this.#count}`;
    const plan = planExec({
      execId,
      pid: container.pid,
      process: { ...container.spec.process!, ...process, args },
      kernel: this.kernel,
      cgroupPaths: container.planned.cgroupPaths,
      terminal: process.terminal === true,
      openStdin: false,
      ...(container.spec.linux?.seccomp && { seccomp: container.spec.linux.seccomp }),
      ...more,
    });
    const terminal = process.terminal === true;
    const o = { terminal, openStdin: false, holdMs: 30_000 };
    const { exited } = await container.monitor.exec(execId, plan, o);
    const stream = await container.monitor.attach(execId, { ...ALL, stdin: false });
    container.monitor.release(execId);
    const data = await readAll(stream);
    const streams = terminal ? { stdout: data.toString(), stderr: "" } : demultiplex(data);
    return { ...streams, exit: await exited };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const monitor of this.#monitors) {
      await monitor.kill("", 9).catch(() => {}); // most have ended by now
      await (monitor as Monitor & { closed: Promise<void> }).closed;
    }
    const { v1, v2 } = this.kernel.cgroup;
    const parent = `/gantry-test-${process.pid}`;
    const folders = [...new Set(v1.values()), ...(v2 ? [v2.path] : [])];
    await this.native.spawner.run({
      host: folders.map((folder) => ({ op: "rmdir", path: folder + parent, missingOk: true })),
    });
    await this.native[Symbol.asyncDispose]();
  }
}

/** A folder of the test's own on the host. */
export async function hostFolder(fixture: RuntimeFixture, name: string): Promise<string> {
  const path = fixture.native.path(name);
  await mkdir(path, { recursive: true });
  return path;
}
