// From a configuration to what the parts of the daemon want, checked: listening addresses, TLS,
// engine options, network options. Pure.

import { createHash } from "node:crypto";
import { GantryError, type LogLevel, parseDiskBytes, parseDuration } from "../base/index.ts";
import type { EngineOptions } from "../engine/index.ts";
import type { NetworkOptions } from "../network/index.ts";
import { API_VERSION_MAX, API_VERSION_MIN, compareVersions } from "../protocol/index.ts";
import { parseBuilder } from "./builder-settings.ts";
import type { Config } from "./config.ts";
import { cgroupDriver, featureWarnings } from "./dockerd-options.ts";
import { type ListenAddress, parseHost } from "./hosts.ts";
import { addressPools, networkOptions } from "./network-settings.ts";
import { options } from "./option-table.ts";
import type { Ulimit } from "./option-values.ts";
import { proxySettings } from "./proxy-settings.ts";
import { parseRegistryRules } from "./registry-rules.ts";
import { runtimeSettings } from "./runtime-settings.ts";
import { storageSizeOption } from "./storage-options.ts";
import {
  checkDomain,
  checkGateway,
  checkIp,
  checkLabel,
  checkMirror,
  defaultCgroupnsMode,
  defaultIpcMode,
  plainName,
} from "./value-checks.ts";

const SOCKET_DEFAULT = "unix:///run/gantry.sock";
const LOG_LEVELS = ["debug", "info", "warn", "error", "fatal"] as const;
const CDI_SPEC_DIRS = ["/etc/cdi", "/var/run/cdi"];
const DATA_ROOT_DEFAULT = "/var/lib/gantry";

export interface TlsFiles {
  verify: boolean;
  ca: string;
  cert: string;
  key: string;
}
export interface Settings {
  engine: EngineOptions;
  network: NetworkOptions;
  listen: ListenAddress[];
  /** Nobody said where. */
  listensByDefault: boolean;
  tls?: TlsFiles;
  socketGroup: { name: string; required: boolean };
  pidfile: string;
  logLevel: LogLevel;
  logFormat: "text" | "json";
  minApiVersion: string;
  /** Where metrics are served; "" is nowhere. */
  metricsAddress: string;
  /** "builtin", "unconfined", or the path of a file that is still to be read. */
  seccompProfile: string;
  /** What was put right in silence would be looked for in vain. */
  warnings: string[];
}

/** Throws invalid where a value makes no sense, in dockerd's words where it has some. */
export function toSettings(
  config: Config,
  program: {
    version: string;
    buildId: string;
    buildTime?: string;
    home: string;
    env?: NodeJS.ProcessEnv;
  },
): Settings {
  const read = reader(config);
  const warnings = featureWarnings(read);
  // The two variables that dockerd reads: where certificates are, and the oldest API to serve.
  const { home, env = {} } = program;
  const tls = tlsFiles(config, read, env["DOCKER_CERT_PATH"] || `${home}/.docker`);
  const hosts = read.list("hosts");
  const level = read.bool("debug") ? "debug" : read.text("log-level");
  if (!(LOG_LEVELS as readonly string[]).includes(level)) {
    throw invalid(`invalid logging level: ${level}`);
  }
  const format = read.text("log-format");
  if (format !== "text" && format !== "json") throw invalid(`invalid log format: ${format}`);
  return {
    engine: engineOptions(read, { ...program, env, warn: (text) => void warnings.push(text) }),
    network: networkOptions(read),
    listen: (hosts.length > 0 ? hosts : [SOCKET_DEFAULT]).map((host) =>
      parseHost(host, { tls: tls !== undefined }),
    ),
    listensByDefault: hosts.length === 0,
    ...(tls === undefined ? {} : { tls }),
    socketGroup: { name: read.text("group"), required: read.text("group") !== "docker" },
    pidfile: read.text("pidfile"),
    logLevel: level as LogLevel,
    logFormat: format,
    minApiVersion: minApiVersion(
      read.text("min-api-version") || env["DOCKER_MIN_API_VERSION"] || "",
    ),
    metricsAddress: read.text("metrics-addr"),
    seccompProfile: read.text("seccomp-profile") || "builtin",
    warnings,
  };
}

export interface Reader {
  text(key: string): string;
  bool(key: string): boolean;
  number(key: string): number;
  list(key: string): string[];
  map(key: string): Record<string, unknown>;
  any(key: string): unknown;
}

function reader({ values }: Config): Reader {
  return {
    text: (key) => String(values.get(key) ?? ""),
    bool: (key) => values.get(key) === true,
    number: (key) => Number(values.get(key) ?? 0),
    list: (key) => (values.get(key) as string[] | undefined) ?? [],
    map: (key) => (values.get(key) as Record<string, unknown> | undefined) ?? {},
    any: (key) => values.get(key),
  };
}

/** One folder an engine: several on one host must never take each other's cgroups for strays. */
export function ownCgroupParent(dataRoot: string): string {
  if (dataRoot === DATA_ROOT_DEFAULT) return "gantry";
  return `gantry-${createHash("sha256").update(dataRoot).digest("hex").slice(0, 8)}`;
}

function cgroupParent(read: Reader, driver: "cgroupfs" | "systemd"): string {
  const given = read.text("cgroup-parent");
  if (driver === "systemd" && given !== "" && !given.endsWith(".slice")) {
    throw invalid('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"');
  }
  const own = ownCgroupParent(read.text("data-root"));
  return given || (driver === "systemd" ? `${own}.slice` : own);
}

function engineOptions(
  read: Reader,
  o: {
    version: string;
    buildId: string;
    buildTime?: string;
    env: NodeJS.ProcessEnv;
    warn: (text: string) => void;
  },
): EngineOptions {
  const { version, buildId } = o;
  const driver = cgroupDriver(read.list("exec-opts"));
  const labels = read.list("labels");
  const storageBytes = storageSizeOption(read.list("storage-opts"));
  const builder = parseBuilder(read.any("builder"));
  for (const label of labels) checkLabel(label, labels);
  for (const server of read.list("dns")) checkIp(server);
  for (const domain of read.list("dns-search")) checkDomain(domain);
  for (const address of read.list("host-gateway-ips")) checkGateway(address);
  return {
    dataRoot: absolute(read.text("data-root"), "data-root"),
    execRoot: absolute(read.text("exec-root"), "exec-root"),
    liveRestore: read.bool("live-restore"),
    cgroupDriver: driver,
    cgroupParent: cgroupParent(read, driver),
    cgroupParentIsOwn: read.text("cgroup-parent") === "",
    shutdownTimeoutSeconds: read.number("shutdown-timeout"),
    version,
    buildId,
    ...(o.buildTime !== undefined && { buildTime: o.buildTime }),
    defaults: {
      logDriver: read.text("log-driver"),
      logOptions: Object.fromEntries(
        Object.entries(read.map("log-opts")).map(([key, value]) => [key, String(value)]),
      ),
      shmSizeBytes: read.number("default-shm-size"),
      ipcMode: defaultIpcMode(read.text("default-ipc-mode")),
      cgroupnsMode: defaultCgroupnsMode(read.text("default-cgroupns-mode")),
      init: read.bool("init"),
      dns: read.list("dns"),
      dnsOptions: read.list("dns-opts"),
      dnsSearch: read.list("dns-search"),
      ulimits: Object.entries(read.map("default-ulimits")).map(([name, limit]) => ({
        ...(limit as Ulimit),
        Name: name,
      })),
      stopTimeoutSeconds: read.number("default-stop-timeout"),
      ...(storageBytes !== undefined && { storageBytes }),
      security: { noNewPrivileges: read.bool("no-new-privileges") },
      hostGateways: read.list("host-gateway-ips"),
      ...optionalPath(read, "resolv-conf", "resolvConf"),
      ...optionalPath(read, "init-path", "initPath"),
    },
    distribution: distributionOptions(read, o),
    ...logBudget(read),
    labels,
    debug: read.bool("debug"),
    experimental: read.bool("experimental"),
    selinux: read.bool("selinux-enabled"),
    userns: {
      remap: read.text("userns-remap"),
      pool: read.text("userns-pool"),
      defaultMode: read.text("default-userns-mode"),
    },
    features: read.map("features") as Record<string, boolean>,
    runtimes: runtimeSettings(read.map("runtimes"), read.text("default-runtime")),
    cdiSpecDirs: cdiSpecFolders(read),
    authorizationPlugins: [...new Set(read.list("authorization-plugins"))],
    pluginFolders: {
      sockets: absolute(read.text("plugin-socket-dir"), "plugin-socket-dir"),
      specs: read.list("plugin-spec-dirs").map((path) => absolute(path, "plugin-spec-dirs")),
    },
    events: eventLimits(read),
    networkFacts: { addressPools: addressPools(read), firewall: read.bool("iptables") },
    ...(builder && { builder }),
  };
}

const NS_PER_SECOND = 1e9;

function logBudget(read: Reader): { logBudgetBytes?: number } {
  const text = read.text("log-budget");
  if (text === "") return {};
  const logBudgetBytes = parseDiskBytes(text);
  if (logBudgetBytes < 0) throw invalid(`invalid log-budget: ${text}`);
  return { logBudgetBytes };
}

function eventLimits(read: Reader): NonNullable<EngineOptions["events"]> {
  const text = read.text("events-max-age");
  try {
    const ageSecondsMax = text === "0" ? 0 : parseDuration(text) / NS_PER_SECOND;
    const eventsMax = read.number("events-max-count");
    if (ageSecondsMax >= 0 && eventsMax > 0) return { eventsMax, ageSecondsMax };
  } catch {
    throw invalid(`invalid events-max-age: ${JSON.stringify(text)} is no duration`);
  }
  throw invalid("events-max-count and events-max-age must not be negative or none");
}

function distributionOptions(
  read: Reader,
  { env, warn }: { env: NodeJS.ProcessEnv; warn: (text: string) => void },
): EngineOptions["distribution"] {
  return {
    insecureRegistries: read.list("insecure-registries").map((one) => plainName(one, warn)),
    mirrors: read.list("registry-mirrors").map(checkMirror),
    maxConcurrentDownloads: positiveOf(read, "max-concurrent-downloads"),
    maxConcurrentUploads: positiveOf(read, "max-concurrent-uploads"),
    maxDownloadAttempts: positiveOf(read, "max-download-attempts"),
    certificateFolders: ["/etc/docker/certs.d", "/etc/gantry/certs.d"],
    allowNondistributableArtifacts: read.list("allow-nondistributable-artifacts"),
    registries: parseRegistryRules(read.any("registries")),
    proxies: proxySettings(read, env),
  };
}

/** 0 is the default, as with dockerd. */
function positiveOf(read: Reader, key: string): number {
  const value = read.number(key);
  if (value < 0) throw invalid(`invalid ${key.replaceAll("-", " ")}: ${value}`);
  return value || Number(options.find((option) => option.key === key)?.default);
}

function optionalPath<K extends string>(
  read: Reader,
  key: string,
  name: K,
): { [name in K]?: string } {
  const path = read.text(key);
  return (path === "" ? {} : { [name]: absolute(path, key) }) as { [name in K]?: string };
}

/** One empty path, or the feature switched off, means none. */
function cdiSpecFolders(read: Reader): string[] {
  const folders = read.list("cdi-spec-dirs");
  if (read.map("features")["cdi"] === false) return [];
  return folders.length === 0 ? CDI_SPEC_DIRS : folders.filter((folder) => folder !== "");
}

function tlsFiles(config: Config, read: Reader, folder: string): TlsFiles | undefined {
  const verify = read.bool("tlsverify");
  // Whoever mentions it at all wants TLS, as with dockerd: --tlsverify=false is TLS for everybody.
  if (!read.bool("tls") && !config.setBy.has("tlsverify")) return undefined;
  if (verify && config.setBy.has("tls") && !read.bool("tls")) {
    throw invalid("--tls=false and --tlsverify contradict each other");
  }
  const file = (key: string, name: string): string => read.text(key) || `${folder}/${name}`;
  return {
    verify,
    ca: file("tlscacert", "ca.pem"),
    cert: file("tlscert", "cert.pem"),
    key: file("tlskey", "key.pem"),
  };
}

function minApiVersion(text: string): string {
  if (text === "") return API_VERSION_MIN;
  const known =
    /^\d+\.\d+$/.test(text) &&
    compareVersions(text, API_VERSION_MIN) >= 0 &&
    compareVersions(text, API_VERSION_MAX) <= 0;
  if (known) return text;
  throw invalid(
    `invalid minimum API version (${text}): must be between ${API_VERSION_MIN} and ` +
      API_VERSION_MAX,
  );
}

function absolute(path: string, key: string): string {
  if (path.startsWith("/")) return path.replace(/(.)\/+$/, "$1");
  throw invalid(`${key} must be an absolute path: ${JSON.stringify(path)}`);
}

function invalid(message: string): GantryError {
  return new GantryError("invalid", message);
}
