// An engine without containers for tests of the API: every verb records its call and answers from
// `answers`, attach echoes what it gets.

import { type Duplex, PassThrough, Readable } from "node:stream";
import { GantryError } from "../../src/base/index.ts";
import type { Container, EngineDoors, Image } from "../../src/engine/index.ts";

export interface FakeEngine {
  engine: EngineDoors;
  calls: { verb: string; args: unknown[] }[];
  /** Replaces a verb: "containers.start". */
  answers: Map<string, (...args: never[]) => unknown>;
}

export function fakeEngine(): FakeEngine {
  const calls: FakeEngine["calls"] = [];
  const answers: FakeEngine["answers"] = new Map(Object.entries(defaults()));
  const door = (name: string): unknown =>
    new Proxy(
      {},
      {
        get: (_, verb) => {
          const key = `${name}.${String(verb)}`;
          return (...args: never[]) => {
            calls.push({ verb: key, args });
            const answer = answers.get(key);
            if (answer === undefined) throw new GantryError("not-implemented", `no ${key}`);
            return answer(...args);
          };
        },
      },
    );
  const names = [
    "containers",
    "images",
    "volumes",
    "networks",
    "events",
    "system",
    "builds",
    "explain",
  ];
  const engine = Object.fromEntries(names.map((name) => [name, door(name)]));
  return { engine: engine as unknown as EngineDoors, calls, answers };
}

function defaults(): Record<string, (...args: never[]) => unknown> {
  return {
    "containers.list": async () => [containerFixture()],
    "containers.inspect": async (ref: string) => {
      if (ref === "web" || ref === containerFixture().id) return containerFixture();
      throw new GantryError("not-found", `No such container: ${ref}`);
    },
    "containers.create": async () => ({ id: containerFixture().id, warnings: [] }),
    "containers.start": async () => {},
    "containers.attach": async () => ({ tty: false, stream: echo() }),
    "containers.execCreate": async () => ({ id: "e".repeat(64) }),
    "containers.execStart": async (_id: string, o: { detach: boolean; tty: boolean }) =>
      o.detach ? undefined : { tty: o.tty, stream: echo() },
    "containers.logs": async () => ({ tty: true, stream: Readable.from([Buffer.from("hello\n")]) }),
    "containers.wait": async () => ({ done: Promise.resolve({ exitCode: 3 }) }),
    "images.list": async () => [imageFixture()],
    "images.inspect": async () => imageFixture(),
    "system.info": async () => ({
      ID: "fake",
      Name: "fake",
      Containers: 1,
      ServerVersion: "0.1.0",
    }),
    "system.version": async () => ({ Version: "0.1.0", Os: "linux", Arch: "amd64" }),
    "events.subscribe": async function* () {},
    "builds.gcPolicy": async () => [],
    "builds.platforms": async () => [{ os: "linux", architecture: "amd64" }],
  };
}

/** Sends back what is written, and ends when the writer ends. */
export function echo(): Duplex {
  return new PassThrough();
}

export function containerFixture(changes: Partial<Container> = {}): Container {
  return {
    id: "c".repeat(64),
    name: "web",
    created: "2026-11-21T05:00:00.123456789Z",
    path: "sleep",
    args: ["60"],
    state: {
      Status: "running",
      Running: true,
      Paused: false,
      Restarting: false,
      OOMKilled: false,
      Dead: false,
      Pid: 42,
      ExitCode: 0,
      Error: "",
      StartedAt: new Date(Date.now() - 5000).toISOString(),
      FinishedAt: "0001-01-01T00:00:00Z",
    },
    imageId: `sha256:${"a".repeat(64)}`,
    imageName: "alpine:3.20",
    imageShown: "alpine:3.20",
    platform: "linux",
    config: { Image: "alpine:3.20", Cmd: ["sleep", "60"], Env: ["A=b"], StopTimeout: null },
    hostConfig: { NetworkMode: "bridge", Memory: 1048576, Mounts: [], Annotations: { a: "b" } },
    mounts: [],
    networks: { bridge: { IPAddress: "172.17.0.2", Gateway: "172.17.0.1", IPPrefixLen: 16 } },
    ports: { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8080" }], "443/tcp": null },
    restartCount: 0,
    logPath: "/logs",
    resolvConfPath: "/r",
    hostnamePath: "/h",
    hostsPath: "/hosts",
    execIds: [],
    sandbox: { id: "s", key: "/run/netns/s" },
    driver: "overlay2",
    graph: { lowerDirs: ["/l1", "/l2"], upperDir: "/u", workDir: "/w", mergedDir: "/m" },
    appArmorProfile: "",
    mountLabel: "",
    processLabel: "",
    ...changes,
  };
}

export function imageFixture(changes: Partial<Image> = {}): Image {
  return {
    id: `sha256:${"a".repeat(64)}`,
    config: {
      architecture: "amd64",
      os: "linux",
      created: "2026-01-02T03:04:05Z",
      config: { Cmd: ["sh"], Env: ["PATH=/bin"] },
      rootfs: { type: "layers", diff_ids: [] },
    },
    repoTags: ["alpine:3.20"],
    repoDigests: [],
    parent: "",
    comment: "",
    created: "2026-01-02T03:04:05Z",
    size: 7_800_000,
    sharedSize: -1,
    containers: -1,
    lastTagTime: "2026-01-02T03:04:05Z",
    layers: [`sha256:${"b".repeat(64)}`],
    ...changes,
  };
}
