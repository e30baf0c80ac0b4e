// `gantry registry serve` as a process of a test's own, with a folder of its own, and the few
// requests that put something into it.

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const GANTRY = fileURLToPath(new URL("../../bin/gantry", import.meta.url));
const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 30_000;

export interface RegistryProcessOptions {
  args?: readonly string[];
  /** Text of a configuration file; `{folder}` stands for the test's folder. */
  config?: string;
  /** Serve within the network namespace of this process. */
  netnsOf?: number;
  /** Files beside the configuration. */
  files?: Readonly<Record<string, string>>;
}

export class RegistryProcess {
  readonly folder: string;
  /** HOST:PORT */
  host = "";
  /** What it printed on stderr. */
  log = "";
  readonly #options: RegistryProcessOptions;
  #child: ChildProcess | undefined;

  private constructor(folder: string, options: RegistryProcessOptions) {
    this.folder = folder;
    this.#options = options;
  }

  static async start(options: RegistryProcessOptions = {}): Promise<RegistryProcess> {
    const folder = await mkdtemp(join(tmpdir(), "gantry-registry-"));
    const registry = new RegistryProcess(folder, options);
    for (const [name, content] of Object.entries(options.files ?? {})) {
      await writeFile(join(folder, name), content, { mode: 0o600 });
    }
    if (options.config !== undefined) {
      await writeFile(join(folder, "registry.yml"), options.config.replaceAll("{folder}", folder));
    }
    try {
      await registry.start();
    } catch (error) {
      await registry.stop().catch(() => {});
      throw error;
    }
    return registry;
  }

  get root(): string {
    return join(this.folder, "root");
  }

  get url(): string {
    const isSecure = this.#options.config?.includes("tls:") ?? false;
    return `${isSecure ? "https" : "http"}://${this.host}`;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** Starts, or starts again at the same address. */
  async start(): Promise<void> {
    const { args = [], config, netnsOf } = this.#options;
    const addr = this.host === "" ? "127.0.0.1:0" : this.host;
    const command = [GANTRY, "registry", "serve", "--addr", addr, ...args];
    if (!/^s3:/m.test(config ?? "")) command.splice(3, 0, "--root", this.root);
    if (config !== undefined) command.push("--config", join(this.folder, "registry.yml"));
    if (netnsOf !== undefined) command.unshift("nsenter", "-t", String(netnsOf), "-n");
    const [program, ...rest] = command;
    const child = spawn(program!, rest, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    child.stderr.on("data", (chunk) => (this.log += chunk));
    let printed = "";
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`The registry ${why}:\n${this.log}`));
      const timer = setTimeout(() => fail("does not start"), START_DEADLINE_MS);
      child.once("exit", (code) => {
        clearTimeout(timer);
        fail(`ended with ${code}`);
      });
      child.stdout.on("data", (chunk) => {
        printed += chunk;
        const found = /Listening on https?:\/\/(\S+)\n/.exec(printed);
        if (found === null) return;
        this.host = found[1]!;
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Resolves as soon as the log says so. */
  async logged(pattern: RegExp): Promise<void> {
    const { stderr } = this.#child!;
    while (!pattern.test(this.log)) {
      await once(stderr!, "data", { signal: AbortSignal.timeout(START_DEADLINE_MS) });
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child!.kill(signal);
  }

  /** As a power cut would end it. */
  async kill9(): Promise<void> {
    const child = this.#child!;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  /** Ends it in order (unless it was told to end already); returns the exit code. */
  async end({ told = false }: { told?: boolean } = {}): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) return null;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      if (!told) child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_DEADLINE_MS);
      await ended;
      clearTimeout(timer);
    }
    return child.exitCode;
  }

  async stop(): Promise<void> {
    await this.end();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  [more: string]: unknown;
}

export interface PushOptions {
  headers?: Readonly<Record<string, string>>;
}

/** Pushes with plain requests. */
export class Pusher {
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(base: string, { headers = {} }: PushOptions = {}) {
    this.#base = base;
    this.#headers = headers;
  }

  async blob(name: string, mediaType: string, bytes: Uint8Array | string): Promise<Descriptor> {
    const body = Buffer.from(bytes as string);
    const digest = sha256(body);
    const started = await this.#fetch(`/v2/${name}/blobs/uploads/`, { method: "POST" }, 202);
    const location = new URL(started.headers.get("Location")!, this.#base);
    location.searchParams.set("digest", digest);
    await this.#fetch(location, { method: "PUT", body }, 201);
    return { mediaType, digest, size: body.length };
  }

  /** Returns the manifest's descriptor. */
  async manifest(name: string, reference: string, manifest: object): Promise<Descriptor> {
    const body = JSON.stringify(manifest);
    const mediaType = (manifest as { mediaType: string }).mediaType;
    const digest = sha256(body);
    await this.#fetch(
      `/v2/${name}/manifests/${reference === "" ? digest : reference}`,
      { method: "PUT", body, headers: { "Content-Type": mediaType } },
      201,
    );
    return { mediaType, digest, size: Buffer.byteLength(body) };
  }

  async image(
    name: string,
    reference: string,
    { config = {}, layers = ["layer"], more = {} }: ImageParts = {},
  ): Promise<Descriptor> {
    const pushed: Descriptor[] = [];
    for (const layer of layers) {
      pushed.push(await this.blob(name, "application/vnd.oci.image.layer.v1.tar+gzip", layer));
    }
    const configText = JSON.stringify({ architecture: "amd64", os: "linux", ...config });
    return await this.manifest(name, reference, {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: await this.blob(name, "application/vnd.oci.image.config.v1+json", configText),
      layers: pushed,
      ...more,
    });
  }

  async #fetch(path: string | URL, init: RequestInit, status: number): Promise<Response> {
    const headers = { ...this.#headers, ...(init.headers as Record<string, string>) };
    const answer = await fetch(new URL(path, this.#base), { ...init, headers });
    if (answer.status !== status) {
      throw new Error(`${init.method} ${path}: ${answer.status} ${await answer.text()}`);
    }
    await answer.arrayBuffer();
    return answer;
  }
}

export interface ImageParts {
  config?: object;
  layers?: readonly (string | Uint8Array)[];
  more?: object;
}
