// daemon.json against dockerd's: each key of the checklist does what the table of options says,
// and what is wrong is refused in the words that dockerd 28.5.2 was seen to use.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { daemonFlags } from "./config.ts";
import { loadSettings } from "./load-settings.ts";
import { deprecatedKeys, options } from "./option-table.ts";

const about = { version: "0.1.0", buildId: "abc" };
const copy = new URL("../../docs/reference/facts/daemonjson.tsv", import.meta.url);
const original = new URL("../../../shared/facts/daemonjson.tsv", import.meta.url);
const rows = readFileSync(copy, "utf8")
  .trim()
  .split("\n")
  .slice(1)
  .map((row) => row.split("\t"))
  .map(([key = "", , , , reload = ""]) => ({ key, reloads: reload === "reload" }));
const topLevel = [...new Set(rows.map(({ key }) => key.split(".")[0]!))].filter(
  (key) => !/^(--|SIGHUP)/.test(key),
);

let folder = "";
let file = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-json-"));
  file = join(folder, "daemon.json");
});
after(() => rm(folder, { recursive: true, force: true }));

async function load(json: string, ...flags: string[]) {
  await writeFile(file, json);
  return await loadSettings(["--config-file", file, ...flags], about);
}
const failure = async (json: string, ...flags: string[]): Promise<string> => {
  const failed = await load(json, ...flags).then(
    () => "",
    (error: Error) => error.message,
  );
  return failed.replace(`unable to configure the Docker daemon with file ${file}: `, "FILE: ");
};

test("the copy of the checklist is the checklist", (t) => {
  if (!existsSync(original)) return t.skip("no checklist beside this checkout");
  assert.equal(readFileSync(copy, "utf8"), readFileSync(original, "utf8"));
});

test("every key and every flag of the checklist is known", () => {
  const known = new Set([...options.map(({ key }) => key), ...Object.keys(deprecatedKeys)]);
  assert.deepEqual(
    topLevel.filter((key) => !known.has(key)),
    [],
  );
  const flags = rows.filter(({ key }) => key.startsWith("--")).map(({ key }) => key.slice(2));
  assert.deepEqual(
    flags.filter((flag) => !(flag in daemonFlags)),
    [],
  );
});

test("what dockerd reloads is reloaded, unless it has no meaning here", () => {
  const byKey = new Map(options.map((option) => [option.key, option]));
  const missing = rows
    .filter(({ key, reloads }) => reloads && byKey.get(key)?.effect.does === "works")
    .filter(({ key }) => byKey.get(key)?.reload !== true);
  assert.deepEqual(missing, []);
});

/** A value for each key that works, other than its default. */
const SAMPLES: Readonly<Record<string, unknown>> = {
  "default-userns-mode": "auto",
  "userns-pool": "5000:100000",
  "userns-remap": "default",
  "allow-direct-routing": true,
  "allow-nondistributable-artifacts": ["r:5000"],
  "authorization-plugins": ["a"],
  bip: "10.9.0.1/24",
  bip6: "fd00:9::1/64",
  bridge: "br9",
  "bridge-accept-fwmark": "1/3",
  builder: { gc: { enabled: false } },
  "cdi-spec-dirs": ["/cdi"],
  "cgroup-parent": "/other",
  "data-root": "/data",
  debug: true,
  "default-address-pools": [{ base: "10.0.0.0/8", size: 24 }],
  "default-cgroupns-mode": "private",
  "default-gateway": "10.9.0.2",
  "default-gateway-v6": "fd00:9::2",
  "default-ipc-mode": "shareable",
  "default-network-opts": { bridge: { "com.docker.network.driver.mtu": "1400" } },
  "default-runtime": "io.containerd.runc.v2",
  "default-shm-size": "128M",
  "default-stop-timeout": 3,
  "default-ulimits": { nofile: { Name: "nofile", Soft: 5, Hard: 6 } },
  dns: ["10.0.0.53"],
  "dns-opts": ["ndots:3"],
  "dns-search": ["example.com"],
  "exec-root": "/exec",
  "events-max-age": "24h",
  "events-max-count": 500,
  experimental: true,
  features: { buildkit: false },
  "fixed-cidr": "10.9.0.0/25",
  "fixed-cidr-v6": "fd00:9::/80",
  group: "0",
  "host-gateway-ip": "10.0.0.1",
  "host-gateway-ips": ["10.0.0.1", "fd00::1"],
  hosts: ["unix:///x.sock", "tcp://127.0.0.1:1"],
  icc: false,
  init: true,
  "init-path": "/sbin/tini",
  "insecure-registries": ["r:5000", "10.0.0.0/8"],
  ip: "127.0.0.1",
  "ip-forward": false,
  "ip-forward-no-drop": true,
  "ip-masq": false,
  ip6tables: false,
  iptables: false,
  ipv6: true,
  labels: ["a=b"],
  "live-restore": false,
  "log-driver": "none",
  "log-format": "json",
  "log-level": "warn",
  "log-opts": { "max-size": "10m" },
  "max-concurrent-downloads": 7,
  "max-concurrent-uploads": 7,
  "max-download-attempts": 7,
  "metrics-addr": "127.0.0.1:9323",
  "min-api-version": "1.44",
  mtu: 1400,
  "no-new-privileges": true,
  pidfile: "/x.pid",
  proxies: { "http-proxy": "http://p:1", "https-proxy": "http://p:2", "no-proxy": "x" },
  "registry-mirrors": ["https://mirror.example"],
  "resolv-conf": "/etc/other.conf",
  runtimes: { other: { path: "/bin/other", runtimeArgs: ["--x"] } },
  "seccomp-profile": "unconfined",
  "selinux-enabled": true,
  "shutdown-timeout": 3,
  "storage-opts": ["overlay2.size=1G"],
  tls: true,
  tlsverify: true,
  "userland-proxy": false,
};
/** They have a meaning with tls only. */
const WITH_TLS = { tlscacert: "/ca", tlscert: "/cert", tlskey: "/key" };
/** Taken, because the only value that works is what happens anyway. */
const ONE_VALUE = { "exec-opts": ["native.cgroupdriver=cgroupfs"] };

test("every key that works changes the settings, every other one says why it does not", async () => {
  const plain = JSON.stringify((await load("{}")).settings);
  const tls = JSON.stringify((await load('{"tls":true}')).settings);
  for (const name of topLevel) {
    const key = deprecatedKeys[name] ?? name;
    const { effect } = options.find((option) => option.key === key)!;
    if (name in ONE_VALUE) {
      await load(JSON.stringify(ONE_VALUE));
    } else if (name in WITH_TLS) {
      const value = WITH_TLS[name as keyof typeof WITH_TLS];
      const { settings } = await load(JSON.stringify({ tls: true, [name]: value }));
      assert.notEqual(JSON.stringify(settings), tls, name);
    } else if (effect.does === "works") {
      assert.ok(name in SAMPLES, `a sample for ${name}`);
      const { settings } = await load(JSON.stringify({ [name]: SAMPLES[name] }));
      assert.notEqual(JSON.stringify(settings), plain, name);
    } else {
      const told = await tellsWhy(name);
      assert.ok(told.includes(effect.because), `${name}: ${told}`);
    }
  }
});

/** The warning or the error of a key that does not work, with a value that fits its type. */
async function tellsWhy(key: string): Promise<string> {
  const { type } = options.find((option) => option.key === key)!;
  const values: Readonly<Record<string, unknown>> = {
    bool: true,
    int: 9,
    list: ["a=9"],
    object: { a: 9 },
  };
  const json = JSON.stringify({ [key]: values[type] ?? "other" });
  const { config } = await load(json).catch((error: Error) => ({
    config: { warnings: [error.message] },
  }));
  return config.warnings.join();
}

const FLAG_AND_FILE =
  "FILE: the following directives are specified both as a flag and in the configuration file: ";
const MERGED = "FILE: merged configuration validation from file and command line flags failed: ";
const UNKNOWN = "FILE: the following directives don't match any configuration option: ";
const GO = "FILE: invalid JSON: json: cannot unmarshal ";

/** What `dockerd --validate`, or its start, says to each. */
const REFUSED: readonly [json: string, said: string][] = [
  ['{"foo":1}', `${UNKNOWN}foo`],
  ['{"foo":1,"bar":2}', `${UNKNOWN}foo, bar`],
  ['{"Debug":true}', `${UNKNOWN}Debug`],
  ['{"cluster-store":"x"}', `${UNKNOWN}cluster-store`],
  ['{"proxies":{"foo":1}}', `${UNKNOWN}foo`],
  ['{"debug":"x"}', `${GO}string into Go struct field Config.debug of type bool`],
  ['{"labels":"x"}', `${GO}string into Go struct field Config.labels of type []string`],
  ['{"features":{"x":"y"}}', `${GO}string into Go struct field Config.features.x of type bool`],
  ["[]", `${GO}array into Go value of type map[string]interface {}`],
  ["{", "FILE: invalid JSON: unexpected end of JSON input"],
  ['{"a":1} {}', "FILE: invalid JSON: invalid character '{' after top-level value"],
  ['{"dns":["x"]}', "FILE: invalid JSON: invalid IP address: x"],
  ['{"ip":"x"}', "FILE: invalid JSON: invalid IP address: x"],
  ['{"default-gateway":"x"}', "FILE: invalid JSON: invalid IP address: x"],
  ['{"default-shm-size":"x"}', "FILE: invalid JSON: invalid size: 'x'"],
  [
    '{"host-gateway-ip":"1.1.1.1","host-gateway-ips":["1.1.1.1"]}',
    "FILE: host-gateway-ip and host-gateway-ips must not both be specified in the config file",
  ],
  ['{"hosts":["ftp://x"]}', `${MERGED}invalid bind address (ftp://x): unsupported proto 'ftp'`],
  ['{"log-level":"loud"}', `${MERGED}invalid logging level: loud`],
  ['{"log-format":"x"}', `${MERGED}invalid log format: x`],
  ['{"max-concurrent-uploads":-1}', `${MERGED}invalid max concurrent uploads: -1`],
  ['{"mtu":-1}', `${MERGED}invalid default MTU: -1`],
  ['{"labels":["a"]}', `${MERGED}bad attribute format: a`],
  ['{"labels":["a=b","a=c"]}', "conflict labels for a=c and a=b"],
  ['{"dns-search":["a b"]}', `${MERGED}a b is not a valid domain`],
  ['{"exec-opts":["a=b"]}', `${MERGED}invalid exec-opt (a=b): unknown option: 'a'`],
  ['{"exec-opts":["a"]}', `${MERGED}invalid exec-opt (a): must be formatted 'opt=value'`],
  [
    '{"default-ipc-mode":"host"}',
    `${MERGED}IPC mode "host" is not supported as default value; use "shareable" or "private"`,
  ],
  [
    '{"default-cgroupns-mode":"x"}',
    `${MERGED}invalid default cgroup namespace (x): use "host" or "private"`,
  ],
  [
    '{"registry-mirrors":["x"]}',
    `${MERGED}invalid mirror: no scheme specified for "x": must use either 'https://' or 'http://'`,
  ],
  ['{"default-runtime":"nope"}', `${MERGED}specified default runtime 'nope' does not exist`],
  ['{"runtimes":{"runc":{"path":"/x"}}}', `${MERGED}runtime name 'runc' is reserved`],
  [
    '{"runtimes":{"x":{}}}',
    `${MERGED}runtime x: either a runtimeType or a path must be configured`,
  ],
  [
    '{"runtimes":{"x":{"path":"a","runtimeType":"b"}}}',
    `${MERGED}runtime x: cannot configure both path and runtimeType for the same runtime`,
  ],
  [
    '{"seccomp-profile":"/nope"}',
    "opening seccomp profile (/nope) failed: open /nope: no such file or directory",
  ],
  ['{"storage-opts":["foo=bar"]}', `${MERGED}overlay2: unknown option foo`],
];

test("what is wrong of user namespaces is told by --validate already", async () => {
  for (const [json, said] of [
    ['{"userns-remap":"no such one"}', /^Error during uid lookup for "no such one": /],
    ['{"userns-remap":"a:b:c"}', /^Invalid user\/group specification in --userns-remap/],
    ['{"userns-pool":"5-6"}', /^invalid userns-pool "5-6": ranges are START:COUNT/],
    ['{"default-userns-mode":"bogus"}', /^invalid user namespace mode: bogus$/],
  ] as const) {
    assert.match(await failure(json, "--validate"), said);
  }
  assert.equal(await failure('{"default-userns-mode":"auto"}', "--validate"), "");
});

test("a wrong file is refused in dockerd's words", async () => {
  for (const [json, said] of REFUSED) assert.equal(await failure(json), said, json);
  assert.match(await failure('{"api-cors-header":"*"}'), /use a reverse proxy if you need CORS/);
  assert.equal(
    await failure('{"dns":["1.1.1.1"]}', "--dns", "8.8.8.8", "--dns", "9.9.9.9"),
    `${FLAG_AND_FILE}dns: (from flag: [8.8.8.8 9.9.9.9], from file: [1.1.1.1])`,
  );
  assert.equal(
    await failure('{"debug":false}', "-D"),
    `${FLAG_AND_FILE}debug: (from flag: true, from file: false)`,
  );
});

/** dockerd says "configuration OK" to them. */
const TAKEN = [
  "",
  "null",
  "\ufeff{}",
  '{"labels":null}',
  '{"debug":true,"debug":false}',
  '{"max-concurrent-downloads":0}',
  '{"max-download-attempts":0}',
  '{"host-gateway-ip":"1.1.1.1"}',
  '{"experimental":true}',
  '{"raw-logs":true}',
  '{"swarm-raft-election-tick":3}',
  '{"containerd-namespace":"moby"}',
  '{"storage-driver":"overlay2"}',
  '{"exec-opts":["native.cgroupdriver=cgroupfs"]}',
];

test("what dockerd takes is taken", async () => {
  for (const json of TAKEN) assert.equal(await failure(json), "", json);
  const { settings } = await load('{"max-concurrent-downloads":0,"max-download-attempts":0}');
  assert.equal(settings?.engine.distribution.maxConcurrentDownloads, 3);
  assert.equal(settings?.engine.distribution.maxDownloadAttempts, 5);
});

test("a scheme before an insecure registry is taken off, and said", async () => {
  const { settings } = await load('{"insecure-registries":["http://reg:5000"]}');
  assert.deepEqual(settings?.engine.distribution.insecureRegistries, ["reg:5000"]);
  assert.match(settings?.warnings.join() ?? "", /'http:\/\/' has been removed/);
});

test("a profile is read when the configuration is", async () => {
  const profile = join(folder, "profile.json");
  await writeFile(profile, '{"defaultAction":"SCMP_ACT_ALLOW"}');
  const { settings } = await load(JSON.stringify({ "seccomp-profile": profile }));
  assert.deepEqual(settings?.engine.defaults.security, {
    noNewPrivileges: false,
    seccompName: profile,
    seccomp: '{"defaultAction":"SCMP_ACT_ALLOW"}',
  });
  await writeFile(profile, "{");
  assert.match(await failure(JSON.stringify({ "seccomp-profile": profile })), /^decoding seccomp/);
});

test("runtimes and features are told by flag as well", async () => {
  const flags = ["--add-runtime", "a=/bin/a", "--feature", "cdi=false", "--feature", "buildkit"];
  const { settings } = await load("{}", ...flags, "--default-runtime", "a");
  assert.deepEqual(settings?.engine.runtimes, {
    default: "a",
    registered: { a: { path: "/bin/a" } },
  });
  assert.deepEqual(settings?.engine.features, { cdi: false, buildkit: true });
  assert.deepEqual(settings?.engine.cdiSpecDirs, []);
  assert.match(await failure("{}", "--add-runtime", "runc=/x"), /'runc' is reserved/);
  const { settings: other } = await load('{"features":{"swarm-nftables":true,"new-one":true}}');
  assert.equal(other?.warnings.length, 2);
});
