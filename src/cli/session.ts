// One call of the program: the caller's streams, the global flags, the client's configuration,
// and the connection to the daemon, each made when it is first needed.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, GantryError, messageOf, type ParsedFlags } from "../base/index.ts";
import { Client, type Endpoint, parseEndpoint, type TlsMaterial } from "../client/index.ts";
import { type ConfigFile, loadConfigFile } from "./config/config-file.ts";
import { type ContextMeta, ContextStore } from "./config/context-store.ts";
import type { GLOBAL_FLAGS } from "./global-flags.ts";
import { callerPath, type Io } from "./io.ts";

const COMPLAINTS_MAX = 16;
export const PROGRAM = "gantry";
export const DEFAULT_SOCKET = "/run/gantry.sock";
export const VERSION = "0.1.0";

export type Globals = ParsedFlags<typeof GLOBAL_FLAGS>;
/** Makes sure that a daemon listens on the default socket; part of bin's entry. */
export type StartDaemon = (io: Io, socket: string) => Promise<void>;

export interface ResolvedEndpoint {
  contextName: string;
  endpoint: Endpoint;
  tls?: TlsMaterial;
  isDefault: boolean;
}

export class Session {
  readonly io: Io;
  readonly globals: Globals;
  /** What has gone to stderr: where the command fails, remedies are looked for in it. */
  readonly complaints: string[] = [];
  #startDaemon: StartDaemon | undefined;
  #config: ConfigFile | undefined;
  #client: Promise<Client> | undefined;

  constructor(io: Io, globals: Globals, startDaemon?: StartDaemon) {
    this.io = io;
    this.globals = globals;
    this.#startDaemon = startDaemon;
  }

  print(text: string): void {
    this.io.stdout.write(`${text}\n`);
  }
  warn(text: string): void {
    if (this.complaints.length < COMPLAINTS_MAX) this.complaints.push(text);
    this.io.stderr.write(`${text}\n`);
  }

  /** The folder of config.json, contexts and key material. */
  get configFolder(): string {
    const { globals, io } = this;
    if (globals.changed.has("config")) return callerPath(io, globals.values.config);
    if (io.env["DOCKER_CONFIG"]) return callerPath(io, io.env["DOCKER_CONFIG"]);
    return join(io.env["HOME"] ?? "/", ".docker");
  }
  get configPath(): string {
    return join(this.configFolder, "config.json");
  }
  get config(): ConfigFile {
    if (!this.#config) {
      const { config, warning } = loadConfigFile(this.configPath);
      if (warning) this.warn(warning);
      this.#config = config;
    }
    return this.#config;
  }
  get contexts(): ContextStore {
    return new ContextStore(this.configFolder);
  }

  /** The context in force, in docker's order of precedence. */
  get contextName(): string {
    const { values, changed } = this.globals;
    if (values.context && values.host.length > 0) {
      throw new GantryError(
        "invalid",
        "conflicting options: cannot specify both --host and --context",
      );
    }
    if (changed.has("context") && values.context) return values.context;
    if (values.host.length > 0 || this.io.env["DOCKER_HOST"]) return "default";
    return this.io.env["DOCKER_CONTEXT"] || this.config.currentContext || "default";
  }

  /** Where the daemon is, and how to reach it. */
  resolve(): ResolvedEndpoint {
    const contextName = this.contextName;
    if (contextName !== "default") return this.#resolveContext(contextName);
    const tls = this.#tls();
    const hosts = this.globals.values.host;
    if (hosts.length > 1) throw unresolved("Specify only one -H");
    const host = hosts[0] || this.io.env["DOCKER_HOST"];
    if (host) {
      const endpoint = initialEndpoint(host, tls !== undefined);
      return { contextName, endpoint, isDefault: false, ...(tls ? { tls } : {}) };
    }
    return { contextName, endpoint: parseEndpoint(`unix://${DEFAULT_SOCKET}`), isDefault: true };
  }

  #context(name: string): ContextMeta {
    try {
      return this.contexts.get(name);
    } catch (cause) {
      throw unresolved(messageOf(cause), cause);
    }
  }

  #resolveContext(contextName: string): ResolvedEndpoint {
    const meta = this.#context(contextName);
    const docker = meta.Endpoints.docker;
    if (!docker?.Host) {
      throw new GantryError("invalid", `no host was specified for context ${contextName}`);
    }
    const files = this.contexts.tls(contextName);
    const wantsTls = Object.keys(files).length > 0 || docker.SkipTLSVerify === true;
    const endpoint = initialEndpoint(docker.Host, wantsTls);
    if (!wantsTls) return { contextName, endpoint, isDefault: false };
    const tls: TlsMaterial = {
      verify: docker.SkipTLSVerify !== true,
      ...(files["ca.pem"] ? { ca: files["ca.pem"] } : {}),
      ...(files["cert.pem"] ? { cert: files["cert.pem"] } : {}),
      ...(files["key.pem"] ? { key: files["key.pem"] } : {}),
    };
    return { contextName, endpoint, tls, isDefault: false };
  }

  #tls(): TlsMaterial | undefined {
    const { values, changed } = this.globals;
    const env = this.io.env;
    const verify = changed.has("tlsverify") ? values.tlsverify : Boolean(env["DOCKER_TLS_VERIFY"]);
    const named = ["tlscacert", "tlscert", "tlskey"].some((flag) => changed.has(flag));
    if (!verify && !values.tls && !env["DOCKER_TLS"] && !named) return undefined;
    const folder = env["DOCKER_CERT_PATH"] || this.configFolder;
    const read = (flag: "tlscacert" | "tlscert" | "tlskey", file: string) => {
      const path = changed.has(flag) ? callerPath(this.io, values[flag]) : join(folder, file);
      const isNeeded = changed.has(flag) || (flag === "tlscacert" && verify);
      if (!isNeeded && !existsSync(path)) return undefined;
      try {
        return readFileSync(path);
      } catch (cause) {
        const shown = changed.has(flag) ? values[flag] : path;
        const errno = errnoOf(cause);
        const why = errno === "ENOENT" ? "no such file or directory" : messageOf(cause);
        throw unresolved(`open ${shown}: ${why}`, cause);
      }
    };
    const ca = read("tlscacert", "ca.pem");
    const cert = read("tlscert", "cert.pem");
    const key = read("tlskey", "key.pem");
    return {
      verify: verify || Boolean(ca && values.tlsverify),
      ...(ca ? { ca } : {}),
      ...(cert ? { cert } : {}),
      ...(key ? { key } : {}),
    };
  }

  /** The client, connected lazily; starts a daemon when the default socket has none. */
  client(): Promise<Client> {
    this.#client ??= this.#makeClient();
    return this.#client;
  }

  /** The client if a command has made one. */
  get openedClient(): Promise<Client> | undefined {
    return this.#client;
  }

  async #makeClient(): Promise<Client> {
    const { endpoint, tls, isDefault } = this.resolve();
    const headers = { ...this.config.HttpHeaders };
    delete headers["User-Agent"];
    const version = this.io.env["DOCKER_API_VERSION"];
    const client = new Client({
      endpoint,
      headers,
      signal: this.io.signal,
      environment: this.io.env,
      userAgent: `Gantry-Client/${VERSION} (linux)`,
      ...(tls ? { tls } : {}),
      ...(version ? { version: version.replace(/^v/, "") } : {}),
    });
    if (!isDefault || endpoint.kind !== "unix" || !this.#startDaemon) return client;
    try {
      await client.negotiate();
    } catch (error) {
      const errno = (error as GantryError).detail?.["errno"];
      if (errno !== "ENOENT" && errno !== "ECONNREFUSED") throw error;
      if (!this.io.isRoot) {
        throw new GantryError(
          "unavailable",
          `Cannot connect to the Docker daemon at ${endpoint.text}. Is the docker daemon running? ` +
            "Only root can start one: run this as root, or set DOCKER_HOST",
          { cause: error },
        );
      }
      await this.#startDaemon(this.io, endpoint.path);
    }
    return client;
  }
}

/** The endpoint that a host's text means; failures are said as docker says them at its start. */
function initialEndpoint(host: string, tls: boolean): Endpoint {
  try {
    return parseEndpoint(host, { tls });
  } catch (cause) {
    const why = messageOf(cause);
    const isOwnWords = /^(ssh host connection|unable to parse|protocol not available)/.test(why);
    if (!isOwnWords) throw unresolved(why, cause);
    throw new GantryError("invalid", `Failed to initialize: ${why}`, { cause });
  }
}

function unresolved(why: string, cause?: unknown): GantryError {
  return new GantryError(
    "invalid",
    `Failed to initialize: unable to resolve docker endpoint: ${why}`,
    { cause },
  );
}
