// A small internet for tests: a namespace that plays the host (with the daemon's native program
// and port holder in it), one that plays a remote machine on the host's uplink, and one for each
// container. Nothing outside these namespaces is touched.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Logger, silentLogger } from "../../src/base/index.ts";
import { nativeProgramPath, type Operation, Spawner } from "../../src/native/index.ts";
import {
  type Attachment,
  type NetworkLayer,
  type NetworkOptions,
  networkDefaults,
  openNetwork,
  type PublishRequest,
} from "../../src/network/index.ts";
import { RouteWriter } from "../../src/network/rtnetlink.ts";
import { NETLINK_ROUTE } from "../../src/network/rtnetlink-numbers.ts";
import type { EndpointSettings } from "../../src/spec/index.ts";
import type { Ask } from "./network-agent.ts";

export const HOST = "192.0.2.1";
export const HOST6 = "fd01::1";
export const REMOTE = "192.0.2.9";
/** For what must not be answered. */
export const BRIEFLY = { patienceMs: 700 };
const run = promisify(execFile);
const agentPath = fileURLToPath(new URL("network-agent.ts", import.meta.url));

/** A process in a network namespace of its own. */
export class Agent {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (said: string) => void>();
  #nextId = 1;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", ({ id, said }: { id: number; said: string }) => {
      this.#waiting.get(id)?.(said);
      this.#waiting.delete(id);
    });
  }

  /** `beside`: in the network namespace of that process. */
  static async start({ beside }: { beside?: number } = {}): Promise<Agent> {
    const way = beside === undefined ? ["unshare", "-n"] : ["nsenter", "-t", `${beside}`, "-n"];
    const child = spawn(way[0]!, [...way.slice(1), process.execPath, agentPath], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const agent = new Agent(child);
    await new Promise<void>((resolve, reject) => {
      agent.#waiting.set(0, () => resolve());
      child.once("exit", (code) => reject(new Error(`the agent ended: ${code}`)));
    });
    return agent;
  }

  get pid(): number {
    return this.#child.pid!;
  }
  get netns(): string {
    return `/proc/${this.#child.pid}/ns/net`;
  }

  ask(ask: Ask): Promise<string> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.send({ id, ask });
    });
  }

  /** Runs what a module exports in this namespace. */
  async call<T>(module: URL, name: string, ...args: unknown[]): Promise<T> {
    const said = await this.ask({ do: "call", module: module.href, name, args });
    try {
      return JSON.parse(said) as T;
    } catch {
      throw new Error(`${name} fails in its namespace: ${said}`);
    }
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.disconnect();
    await gone;
  }
}

export interface Place {
  networkName: string;
  settings: EndpointSettings;
  /** The container asks the resolver, and is called so. */
  dns: { names: string[]; servers?: string[]; links?: Record<string, string> };
}

export interface Container {
  agent: Agent;
  attachment: Attachment;
  address: string;
  end(): Promise<void>;
}

export const tcp = (containerPort: number, more: Partial<PublishRequest> = {}): PublishRequest => ({
  containerPort,
  protocol: "tcp",
  hostIp: "",
  hostPort: 0,
  hostPortEnd: 0,
  ...more,
});

export class Lab implements AsyncDisposable {
  readonly host: Agent;
  readonly remote: Agent;
  readonly native: Spawner;
  readonly dir: string;
  /** The program that is started as the resolver. */
  readonly #resolver: string;
  readonly #records = new Map<string, Map<string, unknown>>();
  readonly #containers = new Set<Container>();
  readonly #strangers: Agent[] = [];
  network!: NetworkLayer;
  readonly #layers: NetworkLayer[] = [];

  private constructor(host: Agent, remote: Agent, native: Spawner, dir: string, resolver: string) {
    this.#resolver = resolver;
    this.host = host;
    this.remote = remote;
    this.native = native;
    this.dir = dir;
  }

  static async make(
    options: Partial<NetworkOptions> = {},
    { resolver = nativeProgramPath }: { resolver?: string } = {},
  ): Promise<Lab> {
    const dir = await mkdtemp(join(tmpdir(), "gantry-net-"));
    const [host, remote] = await Promise.all([Agent.start(), Agent.start()]);
    const program = join(dir, "native");
    await writeFile(program, `#!/bin/sh\nexec ${enter(host)} ${nativeProgramPath} "$@"\n`);
    await chmod(program, 0o755);
    const lab = new Lab(host, remote, new Spawner({ execRoot: dir, program }), dir, resolver);
    await lab.#cable();
    await lab.open(options);
    return lab;
  }

  /** Opens the layer (again: as a restarted daemon would). */
  async open(options: Partial<NetworkOptions> = {}, log: Logger = silentLogger): Promise<void> {
    this.network = await openNetwork({
      native: this.native,
      records: { collection: <T>(name: string) => this.#collection<T>(name) },
      options: { ...networkDefaults, ...options },
      log,
      execRoot: this.dir,
      portHolder: [...enter(this.host).split(" "), nativeProgramPath, "ports"],
      enter: enter(this.host).split(" "),
      resolver: [...enter(this.host).split(" "), this.#resolver, "resolver"],
      portHolderIdleMs: 200,
    });
    this.#layers.push(this.network);
    await this.network.start([...this.#containers].map(({ attachment }) => attachment.record));
  }

  async container(
    publish: PublishRequest[] = [],
    name = "box",
    { networkName = "bridge", settings = {}, dns }: Partial<Place> = {},
  ): Promise<Container> {
    const agent = await Agent.start();
    try {
      const attachment = await this.network.attach({
        containerId: "c".repeat(64),
        containerName: name,
        networkName,
        settings,
        publish,
        ...(dns && {
          opensResolver: true,
          dns: {
            sandbox: `run-${agent.pid}`,
            names: dns.names,
            pointer: `${name}.${networkName}`,
            servers: dns.servers ?? [],
            ...(dns.links && { links: dns.links }),
            pid: agent.pid,
          },
        }),
      });
      const plan = [
        { op: "open", path: agent.netns, flags: 0, to: 1 },
        route(new RouteWriter().setLink(1, { up: true }), 1),
        ...attachment.host({ pid: 0, netns: 1 }),
      ] satisfies Operation[];
      try {
        await this.native.run({ host: plan, teardown: attachment.teardown() });
      } catch (error) {
        await this.network.detach(attachment.record);
        throw error;
      }
      const container: Container = {
        agent,
        attachment,
        address: attachment.record.ipv4!.address,
        end: async () => {
          if (!this.#containers.delete(container)) return;
          await this.native.run({ host: attachment.teardown() });
          await this.network.disconnect(attachment.record);
          await agent.end();
        },
      };
      this.#containers.add(container);
      return container;
    } catch (error) {
      await agent.end();
      throw error;
    }
  }

  /** Runs operations in the host's namespace. */
  async run(...host: Operation[]): Promise<void> {
    await this.native.run({ host });
  }

  /** Lets the remote machine send packets for `subnet` to the host, as an attacker would. */
  async routeFromRemote(subnet: string): Promise<void> {
    const [address = "", prefix] = subnet.split("/");
    await this.run(
      { op: "open", path: this.remote.netns, flags: 0, to: 1 },
      { op: "interfaceIndex", name: "eth0", netns: 1, to: 2 },
      route(
        new RouteWriter().addRoute({
          link: { slot: 2 },
          family: 4,
          destination: { address, prefix: Number(prefix) },
          gateway: HOST,
        }),
        1,
      ),
    );
  }

  /** Lets the remote machine send packets for 127.0.0.1 over the wire, as a neighbour could. */
  async sendLoopbackFromRemote(): Promise<void> {
    const localnet = "/proc/sys/net/ipv4/conf/all/route_localnet";
    const args = ["-t", String(this.remote.pid), "-n", "--"];
    const inRemote = (...command: string[]) => run("/usr/bin/nsenter", [...args, ...command]);
    await inRemote("sh", "-c", `echo 1 > ${localnet}`);
    // Its own loopback must not answer.
    await this.run(
      { op: "open", path: this.remote.netns, flags: 0, to: 1 },
      route(new RouteWriter().deleteAddress(1, "127.0.0.1", 8), 1),
      { op: "interfaceIndex", name: "eth0", netns: 1, to: 2 },
      route(
        new RouteWriter().addRoute({
          link: { slot: 2 },
          family: 4,
          destination: { address: "127.0.0.1", prefix: 32 },
          gateway: HOST,
        }),
        1,
      ),
    );
  }

  /** Another machine on another wire of the host's: `net`.1 is the host, `net`.9 the machine. */
  async cableStranger(net: string): Promise<Agent> {
    const stranger = await Agent.start();
    this.#strangers.push(stranger);
    const outer = { slot: 2 };
    const inner = { slot: 3 };
    await this.run(
      { op: "open", path: stranger.netns, flags: 0, to: 1 },
      route(new RouteWriter().addVeth({ name: "up1", peer: { name: "eth0", netns: 1 } })),
      { op: "interfaceIndex", name: "up1", to: 2 },
      { op: "interfaceIndex", name: "eth0", netns: 1, to: 3 },
      route(new RouteWriter().addAddress(outer, `${net}.1`, 24).setLink(outer, { up: true })),
      route(
        new RouteWriter()
          .addAddress(inner, `${net}.9`, 24)
          .setLink(inner, { up: true })
          .addRoute({ link: inner, family: 4, gateway: `${net}.1` }),
        1,
      ),
    );
    return stranger;
  }

  /** Forgets a container without any teardown: what a crash leaves behind. */
  forget(container: Container): void {
    this.#containers.delete(container);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const container of [...this.#containers]) await container.end();
    for (const layer of this.#layers) await layer.stop();
    await this.native.close();
    await Promise.all([this.host, this.remote, ...this.#strangers].map((agent) => agent.end()));
    await rm(this.dir, { recursive: true, force: true });
  }

  /** The wire between host and remote, with addresses of both families. */
  async #cable(): Promise<void> {
    const outer = { slot: 2 };
    const inner = { slot: 3 };
    await this.run(
      { op: "open", path: this.remote.netns, flags: 0, to: 1 },
      route(new RouteWriter().setLink(1, { up: true })),
      route(new RouteWriter().setLink(1, { up: true }), 1),
      route(new RouteWriter().addVeth({ name: "up0", peer: { name: "eth0", netns: 1 } })),
      { op: "interfaceIndex", name: "up0", to: 2 },
      { op: "interfaceIndex", name: "eth0", netns: 1, to: 3 },
      route(
        new RouteWriter()
          .addAddress(outer, HOST, 24)
          .addAddress(outer, HOST6, 64)
          .setLink(outer, { up: true }),
      ),
      route(
        new RouteWriter()
          .addAddress(inner, REMOTE, 24)
          .addAddress(inner, "fd01::9", 64)
          .setLink(inner, { up: true }),
        1,
      ),
    );
  }

  #collection<T>(name: string) {
    let map = this.#records.get(name);
    if (!map) this.#records.set(name, (map = new Map()));
    const typed = map as Map<string, T>;
    return {
      get: (key: string) => typed.get(key),
      put: (key: string, value: T) => void typed.set(key, structuredClone(value)),
      delete: (key: string) => void typed.delete(key),
      all: () => [...typed.entries()],
    };
  }
}

const enter = (agent: Agent): string => `/usr/bin/nsenter --net=${agent.netns} --`;

function route(writer: RouteWriter, netns?: number): Operation {
  return {
    op: "netlink",
    protocol: NETLINK_ROUTE,
    ...writer.finish(),
    ...(netns !== undefined && { netns }),
  };
}
