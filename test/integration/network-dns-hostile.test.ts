// The resolver under AddressSanitizer and UBSan against everybody who may wish it ill: containers
// that ask nonsense, servers that answer it, and lines on its control socket. Seeded. Whatever
// happens, the same process goes on, answers, and lets go of what it was given.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { nativeProgramPath } from "../../src/native/index.ts";
import { connectResident } from "../../src/network/resident-client.ts";
import { buildNative } from "../../tools/build-native.ts";
import { randomFrom, type Told } from "../support/dns-probe.ts";
import { type Container, HOST, Lab, REMOTE } from "../support/network-lab.ts";

const SEED = 20_261_121;
const PROBE = new URL("../support/dns-probe.ts", import.meta.url);
const repository = fileURLToPath(new URL("../..", import.meta.url));
const KIND = { called: "resolver", greeting: "gantry-resolver 2" };
const SETTLE_TURNS = 1500; // of 20 ms; the first is enough as a rule

let folder = "";
let program = "";
before(async () => {
  await buildNative({ asan: true });
  folder = mkdtempSync(join(tmpdir(), "gantry-dns-"));
  program = join(folder, "resolver");
  // It may not be traced, so leaks cannot be looked for; faults are written to a file.
  const options = `log_path=${folder}/fault:detect_leaks=0`;
  const asan = join(dirname(nativeProgramPath), "gantry-native-asan");
  const script = `#!/bin/sh\nexport ASAN_OPTIONS=${options}\nexec ${asan} "$@"\n`;
  writeFileSync(program, script, { mode: 0o755 });
});
after(() => rmSync(folder, { recursive: true, force: true }));

const faults = (): string =>
  readdirSync(folder)
    .filter((name) => name.startsWith("fault"))
    .map((name) => readFileSync(join(folder, name), "utf8"))
    .join("\n");

async function resolverPid(lab: Lab): Promise<number> {
  const client = (await connectResident(KIND, `${lab.dir}/resolver.sock`))!;
  client.close();
  return client.pid;
}
const on = (names: string[], servers: string[] = []) => ({
  networkName: "one",
  dns: { names, servers },
});

async function assertWell(lab: Lab, from: Container, pid: number): Promise<void> {
  assert.equal(await resolverPid(lab), pid, `seed ${SEED}: the resolver has ended: ${faults()}`);
  const { answers } = await from.agent.call<Told>(PROBE, "ask", { name: "alpha" });
  assert.deepEqual(answers, [from.address]);
  assert.equal(faults(), "");
}

const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

test("no message makes the parser or the cache read where it must not", () => {
  const harness = join(folder, "harness");
  const flags = ["-std=gnu11", "-D_GNU_SOURCE=", "-g", "-O1", "-Wall", "-Wextra", "-Werror"];
  const sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
  const inputs = ["test/native/resolver-harness.c"].concat(
    ["message", "cache"].map((part) => `native/resolver-${part}.c`),
  );
  execFileSync("gcc", [...flags, ...sanitizers, ...inputs, "-o", harness], { cwd: repository });
  const said = execFileSync(harness, [String(SEED), "150000"], { encoding: "utf8" });
  const [understood = 0, kept = 0] = said.split(" ").map(Number);
  assert(understood > 10_000 && kept > 10_000, said);
});

test("nonsense from containers and from servers is survived", async () => {
  await using lab = await Lab.make({}, { resolver: program });
  await lab.network.createNetwork({ Name: "one" });
  await lab.remote.call(PROBE, "serve", REMOTE, "hostile", SEED);
  await lab.host.call(PROBE, "serve", "127.0.0.1", "hostile", SEED + 1);
  const servers = [REMOTE, "127.0.0.1@host", HOST];
  const a = await lab.container([], "a", on(["alpha"], servers));
  const b = await lab.container([], "b", on(["beta"], [REMOTE]));
  const pid = await resolverPid(lab);
  const fuzz = ({ agent }: Container, name: string, seed: number, count: number) =>
    agent.call<number>(PROBE, name, seed, count);
  const [came] = await Promise.all([
    fuzz(a, "fuzzDatagrams", SEED, 4000),
    fuzz(b, "fuzzDatagrams", SEED + 1, 4000),
    fuzz(a, "fuzzStreams", SEED + 2, 300),
    fuzz(b, "fuzzStreams", SEED + 3, 300),
  ]);
  assert(came > 100, `${came} answers`);
  await assertWell(lab, a, pid);
});

test("no line on the control socket harms it, whatever it means", async () => {
  await using lab = await Lab.make({}, { resolver: program });
  await lab.network.createNetwork({ Name: "one" });
  const a = await lab.container([], "a", on(["alpha"]));
  const pid = await resolverPid(lab);
  const random = randomFrom(SEED);
  const verbs = ["open", "sandbox", "close", "set", "pointer", "drop", "mark", "list", "what"];
  const words = ["-", "x", "z1", "z2", "10.0.0.1", "fd00::1", "10.0.0.1,10.0.0.2,fd00::1", "a=b"];
  words.push("z1,z2,z1", ",", "=", "a=,b", "1.2.3.4@host", "1.2.3.4@x", "y".repeat(260), "999999");
  words.push(Array.from({ length: 600 }, () => "10.1.1.1").join(","), "x.y.", ".", "@host", "");
  words.push(Array.from({ length: 140 }, (_, i) => `z${i}`).join(","));
  const line = (): string => {
    const count = random(6);
    const rest = Array.from({ length: count }, () => words[random(words.length)]!);
    return [random(100), verbs[random(verbs.length)]!, ...rest].join(" ");
  };
  for (let turn = 0; turn < 200; turn++) {
    const socket = connect(`${lab.dir}/resolver.sock`);
    socket.on("error", () => {}); // being thrown out is what may happen
    const text = Array.from({ length: 1 + random(30) }, () => `${line()}\n`).join("");
    const cut = random(4) === 0 ? Buffer.from(text).subarray(0, random(text.length)) : text;
    socket.end(random(20) === 0 ? Buffer.alloc(20_000, "z") : cut);
    socket.resume();
    await new Promise<void>((resolve) => socket.once("close", () => resolve()));
  }
  await assertWell(lab, a, pid);
  // What the nonsense has made would keep it alive.
  const client = (await connectResident(KIND, `${lab.dir}/resolver.sock`))!;
  await Promise.all(
    words.filter((word) => word.length < 100).map((word) => client.ask(`close ${word}`)),
  );
  client.close();
});

test("whatever a container had open goes with it, also when nobody says that it has ended", async () => {
  await using lab = await Lab.make({}, { resolver: program });
  await lab.network.createNetwork({ Name: "one" });
  const a = await lab.container([], "a", on(["alpha"], [REMOTE]));
  const pid = await resolverPid(lab);
  const settled = async (wanted: number): Promise<boolean> => {
    for (let turn = 0; turn < SETTLE_TURNS && descriptors(pid) > wanted; turn++) await delay(20);
    return descriptors(pid) <= wanted;
  };
  const before = descriptors(pid);
  for (let turn = 0; turn < 3; turn++) {
    const b = await lab.container([], "b", on(["beta"], [REMOTE]));
    await b.agent.call(PROBE, "fuzzStreams", SEED + turn, 20);
    assert(descriptors(pid) > before + 5);
    // As a container whose monitor was killed together with it, and no daemon.
    lab.forget(b);
    process.kill(b.agent.pid, "SIGKILL");
    assert(await settled(before), "its sockets are closed");
  }
  await assertWell(lab, a, pid);
});
