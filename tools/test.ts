// npm test: builds what the tests need, runs them and prints `N passed, N failed` as the last line.
// Unit tests share one process; a test file that touches the kernel gets a process, a process
// group and a deadline of its own. A crash, a hang, a missing summary and anything left behind on
// the host are failures, whatever the counts say.
//
// A file that may take longer says so in its first lines: "// test-deadline: 900 s".
// In CI a file that failed runs once more, alone; what then passes is told as flaky, with what was
// printed (docs/decisions/0163-one-more-run-in-ci.md). Anywhere else a failure is a failure.
//
//   tools/test.ts [unit | integration | security | e2e | real | vm | FILE…]

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, globSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { hostState, ownProcesses, RUN_ID_VARIABLE, strays } from "./leak-check.ts";
import type { ReportLine } from "./test-reporter.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const BUILD_DEADLINE_MS = 300_000;
const UNIT_DEADLINE_MS = 240_000;
const FILE_DEADLINE_MS = Number(process.env["GANTRY_TEST_DEADLINE_MS"] ?? 240_000);
const SETTLE_DEADLINE_MS = 30_000; // what is dying when the last test ends may take that long
const HEADER_CHARS_MAX = 1_000;
const OUTPUT_LINES_MAX = 120;
const OUTPUT_CHARS_MAX = 16 << 20;
/** A test file that takes more is killed before the machine is of no use to anybody. */
const MEMORY_BYTES_MAX = 4 * 2 ** 30;
const MEMORY_LOOK_MS = 1000;
const CONCURRENCY = 2;
/** More files than this do not fail by accident. */
const AGAIN_FILES_MAX = 3;
/** The files that run the native program with sanitizers. */
const SANITIZED = /(native-sanitized|network-dns-hostile)\.test\.ts$/;
/** What the runner says of the tests of a suite whose hook failed; the hook says why. */
const CANCELLED = "test did not finish before its parent and was cancelled";

const groups = {
  unit: ["src/**/*.test.ts", "web/**/*.test.ts", "test/tidy/*.test.ts", "tools/**/*.test.ts"],
  integration: ["test/integration/**/*.test.ts", "test/conformance/**/*.test.ts"],
  e2e: ["test/e2e/**/*.test.ts"],
  /** Escapes that are tried, and the comparison with Docker's containers. */
  security: ["test/security/**/*.test.ts"],
  /** Only when it is asked for: from the network, for minutes. */
  real: ["test/real/**/*.test.ts"],
} as const;

/** Files that run in one process. */
type Batch = { name: string; files: string[]; deadlineMs: number };
type Failure = { title: string; detail: string };
type Outcome = { passed: number; skipped: number; failures: Failure[]; batch?: Batch };

const runId = randomBytes(8).toString("hex");
const scratch = await mkdtemp(join(tmpdir(), "gantry-test-"));
const environment = { ...process.env, [RUN_ID_VARIABLE]: runId, GANTRY_TEST_SCRATCH: scratch };

/** Whoever ends this runner ends what it has started. */
const running = new Set<ChildProcess>();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    for (const child of running) killGroup(child);
    void ownProcesses(runId).then((left) => {
      for (const { pid } of left) killProcess(pid);
      process.exit(1);
    });
  });
}

const names = process.argv.slice(2);
if (names[0] === "vm") {
  process.exitCode = await runToTerminal("test/vm/vm.ts", names.slice(1));
  await rm(scratch, { recursive: true, force: true });
} else {
  await main(plan(names));
}

function plan(wanted: string[]): Batch[] {
  const batches: Batch[] = [];
  const everything = wanted.length === 0;
  if (everything || wanted.includes("unit")) {
    const files = globSync([...groups.unit], { cwd: root }).sort();
    const name = `${files.length} unit files`;
    if (files.length > 0) batches.push({ name, files, deadlineMs: UNIT_DEADLINE_MS });
  }
  for (const group of ["integration", "security", "e2e", "real"] as const) {
    if (!wanted.includes(group) && (!everything || group === "real")) continue;
    for (const file of globSync([...groups[group]], { cwd: root }).sort())
      batches.push(alone(file));
  }
  for (const name of wanted) {
    if (!(name in groups)) batches.push(alone(relative(root, join(process.cwd(), name))));
  }
  return batches;
}

function alone(file: string): Batch {
  const path = join(root, file);
  const start = existsSync(path) ? readFileSync(path, "utf8").slice(0, HEADER_CHARS_MAX) : "";
  const own = Number(/^\/\/ test-deadline: (\d+) s\b/m.exec(start)?.[1] ?? 0) * 1000;
  return { name: file, files: [file], deadlineMs: Math.max(FILE_DEADLINE_MS, own) };
}

async function main(batches: Batch[]): Promise<void> {
  const outcomes: Outcome[] = [];
  try {
    // Tests that need it with sanitizers would compile it themselves, twice, in their own time.
    const sanitized = batches.length > 1 && batches.some(({ name }) => SANITIZED.test(name));
    for (const flags of sanitized ? [[], ["--asan"]] : [[]]) {
      const built = await build(flags);
      if (built !== undefined) outcomes.push(built);
    }
    const before = await hostState();
    const queue = [...batches];
    const worker = async () => {
      for (let next = queue.shift(); next; next = queue.shift())
        outcomes.push(await runBatch(next));
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    if (process.env["CI"] === "true") await runFailedAgain(outcomes);
    outcomes.push(await checkStrays(before));
  } finally {
    await rm(scratch, { recursive: true, force: true }).catch(() => {});
  }
  summarise(outcomes);
}

/** Replaces the outcome of what passes when it runs alone, and tells how it failed before. */
async function runFailedAgain(outcomes: Outcome[]): Promise<void> {
  const failed = outcomes.filter(({ failures, batch }) => batch && failures.length > 0);
  if (failed.length > AGAIN_FILES_MAX) return;
  for (const first of failed) {
    const second = await runBatch(first.batch!);
    if (second.failures.length > 0) continue;
    for (const { title, detail } of first.failures) {
      console.log(
        `\nFLAKY ${title} (passed when it ran alone)\n${detail.replaceAll(/^/gm, "    ")}`,
      );
    }
    outcomes[outcomes.indexOf(first)] = second;
  }
}

/** Compiles the native program; a failure is reported once and the tests still run. */
async function build(flags: string[]): Promise<Outcome | undefined> {
  const script = "tools/build-native.ts";
  if (!existsSync(join(root, script))) return undefined;
  const args = ["--disable-warning=ExperimentalWarning", script, ...flags];
  const { code, output } = await run(args, BUILD_DEADLINE_MS);
  if (code === 0) return undefined;
  const title = ["native build", ...flags].join(" ");
  return { passed: 0, skipped: 0, failures: [{ title, detail: output }] };
}

async function runBatch(batch: Batch): Promise<Outcome> {
  const report = join(scratch, `${randomBytes(6).toString("hex")}.jsonl`);
  const started = Date.now();
  const result = await run(
    [
      "--disable-warning=ExperimentalWarning",
      "--test",
      "--test-isolation=none",
      "--test-reporter=./tools/test-reporter.ts",
      `--test-reporter-destination=${report}`,
      ...batch.files,
    ],
    batch.deadlineMs,
  );
  const lines = await readReport(report);
  const failures: Failure[] = [];
  for (const line of lines) {
    if (line.type !== "fail") continue;
    const file = line.file === "" ? batch.name : relative(root, line.file);
    failures.push({ title: `${file}: ${line.name}`, detail: line.error });
  }
  const died = causeOfDeath(result, lines, failures.length, batch.deadlineMs);
  if (died !== undefined) failures.push({ title: batch.name, detail: died });
  if (failures.length > 0 && result.output !== "") {
    failures.at(-1)!.detail += `\n--- output of ${batch.name}\n${tail(result.output)}`;
  }
  const passed = lines.filter(({ type }) => type === "pass").length;
  const skipped = lines.filter(({ type }) => type === "skip").length;
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  const mark = failures.length === 0 ? "ok  " : "FAIL";
  console.log(`${mark} ${batch.name}: ${counts(passed, failures.length, skipped)} (${seconds} s)`);
  return { passed, skipped, failures, batch };
}

type RunResult = {
  code: number | null;
  signal: string | null;
  /** Why it was killed by this runner. */
  killed: "deadline" | "memory" | undefined;
  output: string;
};

/** Why the process itself is a failure, if it is one that no test reported. */
function causeOfDeath(
  { code, signal, killed }: RunResult,
  lines: ReportLine[],
  failed: number,
  deadlineMs: number,
): string | undefined {
  const finished = lines.some(({ type }) => type === "summary");
  if (killed === "memory") return `Took more than ${MEMORY_BYTES_MAX / 2 ** 30} GiB of memory`;
  if (killed === "deadline") {
    const why = finished ? "its tests are done, but something keeps it alive" : "a test hangs";
    return `Did not end within ${deadlineMs / 1000} s: ${why}`;
  }
  if (signal !== null) return `Ended by ${signal}`;
  if (!finished) return `Ended with exit code ${code} before its tests were done`;
  if (code !== 0 && failed === 0) return `Ended with exit code ${code} though no test failed`;
  return undefined;
}

async function readReport(path: string): Promise<ReportLine[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  const lines: ReportLine[] = [];
  for (const line of text.split("\n")) {
    if (line !== "") lines.push(JSON.parse(line) as ReportLine);
  }
  return lines;
}

/** Runs Node in a process group of its own, which is killed when the deadline passes. */
async function run(args: string[], deadlineMs: number): Promise<RunResult> {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  running.add(child);
  let output = "";
  const keep = (chunk: Buffer) => {
    if (output.length < OUTPUT_CHARS_MAX) output += chunk;
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  let killed: RunResult["killed"];
  const end = (why: RunResult["killed"]) => {
    killed ??= why;
    killGroup(child);
  };
  const timer = setTimeout(() => end("deadline"), deadlineMs);
  const memory = setInterval(() => {
    if (residentBytes(child.pid) > MEMORY_BYTES_MAX) end("memory");
  }, MEMORY_LOOK_MS);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.on("exit", (...how) => resolve(how));
  });
  clearTimeout(timer);
  clearInterval(memory);
  // A daemon that outlives its test holds the pipe: what it prints later is nobody's.
  await Promise.race([new Promise((resolve) => child.on("close", resolve)), delay(200)]);
  child.stdout.destroy();
  child.stderr.destroy();
  killGroup(child);
  running.delete(child);
  return { code, signal, killed, output };
}

function residentBytes(pid: number | undefined): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024; // pages differ in size
  } catch {
    return 0; // it has ended
  }
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself just now.
  }
}

function killGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, "SIGKILL");
  } catch {
    // The group is empty already.
  }
}

/** Reports, and as far as they are processes of this run ends, what the tests left behind. */
async function checkStrays(before: Awaited<ReturnType<typeof hostState>>): Promise<Outcome> {
  const deadline = Date.now() + SETTLE_DEADLINE_MS;
  let processes = await ownProcesses(runId);
  let left = strays(before, await hostState());
  while (processes.length + left.length > 0 && Date.now() < deadline) {
    await delay(250);
    processes = await ownProcesses(runId);
    left = strays(before, await hostState());
  }
  for (const { pid } of processes) killProcess(pid);
  const lines = [...processes.map(({ pid, command }) => `process ${pid} ${command}`), ...left];
  if (lines.length === 0) return { passed: 1, skipped: 0, failures: [] };
  const failure = { title: "the run leaves nothing behind on the host", detail: lines.join("\n") };
  if (process.env["GANTRY_TEST_LEAKS"] === "warn") {
    console.log(`left behind (a warning here):\n${failure.detail}`);
    return { passed: 0, skipped: 1, failures: [] };
  }
  return { passed: 0, skipped: 0, failures: [failure] };
}

function summarise(outcomes: Outcome[]): void {
  const failures = outcomes.flatMap((outcome) => outcome.failures);
  for (const { title, detail } of failures) {
    if (detail.includes(CANCELLED) && detail.length < 2 * CANCELLED.length) continue; // it counts
    console.log(`\n✖ ${title}\n${detail.replaceAll(/^/gm, "    ")}`);
  }
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
  const skipped = outcomes.reduce((sum, outcome) => sum + outcome.skipped, 0);
  console.log(`\n${counts(passed, failures.length, skipped)}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

function counts(passed: number, failed: number, skipped: number): string {
  const skips = skipped === 0 ? "" : `, ${skipped} skipped`;
  return `${passed} passed, ${failed} failed${skips}`;
}

function tail(text: string): string {
  const lines = text.trimEnd().split("\n");
  const cut = lines.length - OUTPUT_LINES_MAX;
  return cut > 0 ? [`(${cut} lines cut)`, ...lines.slice(cut)].join("\n") : lines.join("\n");
}

async function runToTerminal(script: string, args: string[]): Promise<number> {
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", script, ...args],
    {
      cwd: root,
      env: environment,
      stdio: ["ignore", "inherit", "inherit"],
    },
  );
  return await new Promise((resolve) => child.on("exit", (code) => resolve(code ?? 1)));
}
