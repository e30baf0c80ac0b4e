// Asks a daemon of its own for one answer of every kind that is cheap to have. Needs root.

import { request } from "node:http";
import { text } from "node:stream/consumers";
import { IMAGE, startDaemon, type TestDaemon } from "../../test/e2e/harness.ts";
import { writeAnswers } from "./answers.ts";
import { type Ask, recordContainer, recordPulled } from "./record-container.ts";
import { recordRare, Surroundings } from "./record-rare.ts";

const NAME = "coverage";
const CREATE = {
  Image: IMAGE,
  Cmd: ["/bin/sleep", "600"],
  Labels: { kind: NAME },
  ExposedPorts: { "80/tcp": {} },
  Healthcheck: {
    Test: ["CMD", "/bin/true"],
    Interval: 100_000_000,
    Timeout: 1_000_000_000,
    Retries: 3,
    StartPeriod: 1_000_000,
    StartInterval: 10_000_000,
  },
  StopSignal: "SIGINT",
  StopTimeout: 3,
  Shell: ["/bin/sh"],
  OnBuild: ["RUN true"],
  HostConfig: {
    Sysctls: { "net.ipv4.ip_forward": "0" },
    Tmpfs: { "/quick": "size=64k" },
    DeviceCgroupRules: ["c 1:3 r"],
    PortBindings: { "80/tcp": [{ HostPort: "0" }] },
    Memory: 67_108_864,
    PidsLimit: 50,
    Mounts: [
      {
        Type: "volume",
        Source: NAME,
        Target: "/data",
        VolumeOptions: {
          NoCopy: true,
          Labels: { kind: NAME },
          DriverConfig: { Name: "local", Options: {} },
        },
      },
      {
        Type: "bind",
        Source: "/proc",
        Target: "/host",
        ReadOnly: true,
        BindOptions: { Propagation: "rprivate", NonRecursive: true, CreateMountpoint: true },
      },
      { Type: "tmpfs", Target: "/scratch", TmpfsOptions: { SizeBytes: 65_536, Mode: 448 } },
    ],
    Ulimits: [{ Name: "nofile", Soft: 64, Hard: 64 }],
    Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/nothing", CgroupPermissions: "r" }],
    Annotations: { kind: NAME },
    RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 },
    LogConfig: { Type: "json-file", Config: { "max-file": "2" } },
  },
};

export async function record(): Promise<void> {
  const around = await Surroundings.make();
  try {
    const daemon = await startDaemon({ args: around.args, client: "gantry" });
    try {
      const recorder = new Recorder(daemon);
      await recorder.all();
      writeAnswers(recorder.samples);
    } finally {
      await daemon.stop();
    }
  } finally {
    await around.remove();
  }
}

class Recorder {
  readonly samples = new Map<string, unknown[]>();
  #daemon: TestDaemon;

  constructor(daemon: TestDaemon) {
    this.#daemon = daemon;
  }

  async all(): Promise<void> {
    await this.#make();
    await this.#look();
    const ask: Ask = (...question) => this.#ask(...question);
    await recordContainer(ask);
    await recordPulled(ask, await this.#daemon.pid());
    await this.#remove();
    await recordRare(ask, this.#daemon);
  }

  async #make(): Promise<void> {
    const network = { Name: NAME, Labels: { kind: NAME }, Options: { kind: NAME } };
    await this.#ask("VolumeCreate", "POST", "/volumes/create", { Name: NAME, Labels: { a: "b" } });
    const config = [{ Subnet: "10.201.0.0/24", IPRange: "10.201.0.0/25", Gateway: "10.201.0.1" }];
    const ipam = { ...network, IPAM: { Config: config, Options: { kind: NAME } } };
    await this.#ask("NetworkCreate", "POST", "/networks/create", ipam);
    const body = { ...CREATE, NetworkingConfig: { EndpointsConfig: { [NAME]: ENDPOINT } } };
    await this.#ask("ContainerCreate", "POST", `/containers/create?name=${NAME}`, body);
    await this.#ask("", "POST", `/containers/${NAME}/start`);
    const exec = { Cmd: ["/bin/sleep", "600"], AttachStdout: true };
    const made = await this.#ask("ContainerExec", "POST", `/containers/${NAME}/exec`, exec);
    const id = (made as { Id?: string }).Id ?? "";
    await this.#ask("", "POST", `/exec/${id}/start`, { Detach: true });
    await this.#ask("ExecInspect", "GET", `/exec/${id}/json`);
    await this.#ask("ImageCommit", "POST", `/commit?container=${NAME}&repo=${NAME}&author=me`);
  }

  async #look(): Promise<void> {
    const container = `/containers/${NAME}`;
    await this.#ask("ContainerTop", "GET", `${container}/top`);
    await this.#ask("ContainerChanges", "GET", `${container}/changes`);
    await this.#ask("ContainerStats", "GET", `${container}/stats?stream=0`);
    await this.#ask("ContainerList", "GET", "/containers/json?all=1&size=1");
    await this.#ask("ContainerInspect", "GET", `${container}/json?size=1`);
    await this.#ask("ContainerUpdate", "POST", `${container}/update`, { PidsLimit: 60 });
    await this.#ask("ImageList", "GET", "/images/json?shared-size=1&manifests=1");
    await this.#ask("ImageInspect", "GET", `/images/${NAME}/json`);
    await this.#ask("ImageInspect", "GET", `/images/${NAME}/json?manifests=1`);
    await this.#ask("ImageHistory", "GET", `/images/${NAME}/history`);
    await this.#ask("SystemInfo", "GET", "/info");
    await this.#ask("SystemVersion", "GET", "/version");
    await this.#ask("SystemDataUsage", "GET", "/system/df?verbose=1");
    const until = Math.floor(Date.now() / 1000) + 1;
    await this.#ask("SystemEvents", "GET", `/events?since=1&until=${until}`);
    await this.#ask("VolumeList", "GET", "/volumes");
    await this.#ask("VolumeInspect", "GET", `/volumes/${NAME}`);
    await this.#ask("NetworkList", "GET", "/networks");
    await this.#ask("NetworkInspect", "GET", `/networks/${NAME}`);
    await this.#ask("PluginList", "GET", "/plugins");
  }

  async #remove(): Promise<void> {
    await this.#ask("", "POST", `/containers/${NAME}/kill`);
    await this.#ask("ContainerWait", "POST", `/containers/${NAME}/wait`);
    await this.#ask("ContainerPrune", "POST", "/containers/prune");
    await this.#ask("NetworkPrune", "POST", "/networks/prune");
    await this.#ask("VolumePrune", "POST", "/volumes/prune?filters=%7B%22all%22:%5B%221%22%5D%7D");
    await this.#ask("ImageDelete", "DELETE", `/images/${NAME}`);
    await this.#ask("ImagePrune", "POST", "/images/prune");
    await this.#ask("BuildPrune", "POST", "/build/prune");
  }

  /** One request; its answer is a sample of `operation`, "" for none. */
  async #ask(operation: string, method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await send(this.#daemon.socket, method, path, body);
    const values = answer.split("\n").filter((line) => line.trim() !== "");
    const parsed = values.map((line) => JSON.parse(line) as unknown);
    if (operation !== "") {
      this.samples.set(operation, [...(this.samples.get(operation) ?? []), ...parsed]);
    }
    return parsed[0];
  }
}

const ENDPOINT = {
  Aliases: ["other"],
  DriverOpts: { kind: NAME },
  IPAMConfig: { IPv4Address: "10.201.0.9" },
};

async function send(socketPath: string, method: string, path: string, body?: unknown) {
  return await new Promise<string>((resolve, reject) => {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    const call = request({ socketPath, method, path, headers }, async (answer) => {
      const said = await text(answer).catch(reject);
      if (said === undefined) return;
      if ((answer.statusCode ?? 500) < 400) resolve(said);
      else reject(new Error(`${method} ${path}: ${answer.statusCode} ${said}`));
    });
    call.on("error", reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
