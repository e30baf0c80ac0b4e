import assert from "node:assert/strict";
import { test } from "node:test";
import { networkDefaults } from "../network/index.ts";
import { type Config, daemonFlags, loadConfig } from "./config.ts";
import { parseHost } from "./hosts.ts";
import { options } from "./option-table.ts";
import { parseConfigFile } from "./parse-config-file.ts";
import { toSettings } from "./settings.ts";

const NO_FILE = ["--config-file", "/dev/null"];
const messageOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};
const program = { version: "0.1.0", buildId: "abc", home: "/root" };
const settings = async (...argv: string[]) =>
  toSettings(await loadConfig([...NO_FILE, ...argv]), program);

test("no two options share a flag or a shorthand", () => {
  const flags = options.map(({ flag }) => flag).filter((flag) => flag !== "");
  assert.equal(new Set(flags).size, flags.length);
  const letters = Object.values(daemonFlags).flatMap(({ shorthand }) => shorthand ?? []);
  assert.equal(new Set(letters).size, letters.length);
});

test("the defaults are Gantry's places and Docker's numbers", async () => {
  const { engine, network, listen, pidfile, logLevel } = await settings();
  assert.equal(engine.dataRoot, "/var/lib/gantry");
  assert.equal(engine.execRoot, "/run/gantry");
  assert.equal(pidfile, "/run/gantry.pid");
  assert.deepEqual(listen, [
    { kind: "unix", path: "/run/gantry.sock", text: "unix:///run/gantry.sock" },
  ]);
  assert.equal(engine.defaults.shmSizeBytes, 64 * 1024 * 1024);
  assert.equal(engine.defaults.logDriver, "json-file");
  assert.deepEqual(network, networkDefaults);
  assert.equal(logLevel, "info");
});

test("flags reach the settings", async () => {
  const { engine, network, listen, logLevel, socketGroup } = await settings(
    "-D",
    ...["-H", "unix:///x.sock", "-H", "tcp://:2375", "-G", "staff"],
    ...["--log-opt", "max-size=10m", "--log-opt=max-file=3", "--default-ulimit", "nofile=5:6"],
    ...["--bip", "10.0.0.1/24", "--mtu=1400", "--icc=false", "--label", "a=b"],
    ...["--default-address-pool", "base=10.1.0.0/16,size=24", "--dns", "1.1.1.1"],
  );
  assert.equal(logLevel, "debug");
  assert.deepEqual(
    listen.map(({ text }) => text),
    ["unix:///x.sock", "tcp://:2375"],
  );
  assert.deepEqual(socketGroup, { name: "staff", required: true });
  assert.deepEqual(engine.defaults.logOptions, { "max-size": "10m", "max-file": "3" });
  assert.deepEqual(engine.defaults.ulimits, [{ Name: "nofile", Soft: 5, Hard: 6 }]);
  assert.deepEqual([network.bip, network.mtu, network.icc], ["10.0.0.1/24", 1400, false]);
  assert.deepEqual(network.addressPools, [{ Base: "10.1.0.0/16", Size: 24 }]);
  assert.deepEqual([engine.labels, engine.defaults.dns], [["a=b"], ["1.1.1.1"]]);
});

test("the file's values have the flags' forms", () => {
  const values = parseConfigFile(
    '\ufeff{"default-shm-size":"1g","debug":null,"default-address-pools":[{"base":"10.0.0.0/8",' +
      '"size":24}],"default-ulimits":{"nofile":{"Name":"nofile","Soft":1,"Hard":2}}}',
  );
  assert.equal(values.get("default-shm-size"), 2 ** 30);
  assert.deepEqual(values.get("default-address-pools"), [{ Base: "10.0.0.0/8", Size: 24 }]);
  assert.ok(!values.has("debug"));
  assert.equal(parseConfigFile("").size, 0);
});

test("what cannot work is refused with its reason, what does nothing warns", async () => {
  const load = (...argv: string[]): Promise<Config> => loadConfig([...NO_FILE, ...argv]);
  assert.equal(
    await messageOf(() => load("--storage-driver", "zfs")),
    "option storage-driver cannot be set to zfs: overlay2 is the only storage driver",
  );
  assert.equal(await messageOf(() => load("-s", "overlay2", "--default-runtime=runc")), "");
  const driver = (name: string, ...more: string[]) =>
    settings(`--exec-opt=native.cgroupdriver=${name}`, ...more);
  assert.equal((await driver("systemd")).engine.cgroupParent, "gantry.slice");
  assert.match(await messageOf(() => driver("systemd", "--cgroup-parent=/x")), /valid slice/);
  assert.match(await messageOf(() => driver("other")), /option other not supported/);
  assert.equal(await messageOf(() => load("--exec-opt=native.cgroupdriver=cgroupfs")), "");
  const { warnings } = await load("--raw-logs");
  assert.match(warnings[0] ?? "", /^Option raw-logs has no effect: /);
});

test("values that make no sense are refused", async () => {
  const refuse = (...argv: string[]): Promise<string> => messageOf(() => settings(...argv));
  assert.equal(await refuse("--log-level=loud"), "invalid logging level: loud");
  assert.equal(await refuse("--dns=here"), "here is not an ip address");
  assert.equal(await refuse("--label=x"), "bad attribute format: x");
  assert.equal(await refuse("--label=x=1", "--label=x=2"), "conflict labels for x=2 and x=1");
  assert.match(await refuse("--bip=10.0.0.1"), /invalid CIDR address: 10\.0\.0\.1/);
  assert.match(await refuse("--bip=10.0.0.1/24", "-b", "br0"), /mutually exclusive/);
  assert.match(await refuse("--icc=false", "--iptables=false"), /ICC=false uses iptables/);
  assert.match(await refuse("--data-root=data"), /absolute path/);
  assert.match(await refuse("--default-ulimit=nofile=9:3"), /soft limit must be less/);
  assert.equal(await refuse("extra"), '"gantry daemon" accepts no arguments: extra');
});

test("dockerd's environment variables count where nothing else is said", async () => {
  const env = { DOCKER_CERT_PATH: "/certs", DOCKER_MIN_API_VERSION: "1.44" };
  const config = await loadConfig([...NO_FILE, "--tls", "--tlskey", "/other/key.pem"]);
  const { tls, minApiVersion } = toSettings(config, { ...program, env });
  assert.equal(minApiVersion, "1.44");
  assert.deepEqual(tls, {
    verify: false,
    ca: "/certs/ca.pem",
    cert: "/certs/cert.pem",
    key: "/other/key.pem",
  });
});

test("addresses are read as -H reads them", async () => {
  const plain = { tls: false };
  const tcp = { kind: "tcp", host: "127.0.0.1", port: 2375 };
  const read = (text: string) => {
    const { text: _, ...address } = parseHost(text, plain);
    return address;
  };
  assert.deepEqual(read("tcp://"), tcp);
  assert.deepEqual(read("tcp://127.0.0.1"), tcp);
  assert.deepEqual(read(":2375"), tcp);
  assert.deepEqual(read("tcp://[::1]:5000"), { kind: "tcp", host: "::1", port: 5000 });
  assert.deepEqual(read("fd://"), { kind: "fd", which: "all" });
  assert.deepEqual(read("fd://4"), { kind: "fd", which: 4 });
  assert.deepEqual(read("fd://gantry.socket"), { kind: "fd", which: "gantry.socket" });
  assert.deepEqual(read("/run/x.sock"), { kind: "unix", path: "/run/x.sock" });
  const secure = parseHost("tcp://0.0.0.0", { tls: true });
  assert.equal(secure.kind === "tcp" && secure.port, 2376);
  assert.equal(
    await messageOf(() => parseHost("http://x", plain)),
    "invalid bind address (http://x): unsupported proto 'http'",
  );
  for (const text of ["tcp://x:99999", "tcp://a:b:c", "fd://1", ""]) {
    assert.match(await messageOf(() => parseHost(text, plain)), /invalid bind address format/);
  }
  const long = await messageOf(() => parseHost(`unix:///${"x".repeat(200)}`, plain));
  assert.match(long, /longer than 107 bytes/);
});
