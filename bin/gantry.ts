// The entry of plain Node: the servers' verbs load their server, everything else is the client.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Program } from "../tools/bundle-program.ts";

/** V8 lets its young generation grow to 3 × 16 MiB and keeps it; the daemon's garbage is small. */
const YOUNG = "--max-semi-space-size=2";
const PROGRAMS: Readonly<Record<string, { program: Program; flags: string[] }>> = {
  daemon: { program: "daemon", flags: [YOUNG, "--expose-gc"] },
  dockerd: { program: "daemon", flags: [YOUNG, "--expose-gc"] },
  registry: { program: "registry", flags: [] },
};

/** By systemd, to this very process (sd_listen_fds(3)). */
const wasPassedSockets = (): boolean => Number(process.env["LISTEN_PID"]) === process.pid;

const argv = process.argv.slice(2);
const server = Object.hasOwn(PROGRAMS, argv[0] ?? "") ? PROGRAMS[argv[0]!] : undefined;
if (server !== undefined) {
  if (server.program === "daemon") await bringNativeUpToDate();
  const { bundleProgram } = await import("../tools/bundle-program.ts");
  const wanted = !process.env["GANTRY_FROM_SOURCES"];
  const bundle = wanted ? await bundleProgram(server.program) : undefined;
  if (bundle !== undefined && wasPassedSockets()) {
    // They are closed by an exec: Node marks all that it inherits when it starts.
    for (const flag of server.flags) setFlagsFromString(flag);
    if (server.program === "daemon") Object.assign(globalThis, { gc: runInNewContext("gc") });
    process.argv.splice(2, 1);
    await import(bundle);
  } else if (bundle !== undefined) {
    // In place: the same pid, without the type stripper.
    const command = ["--disable-warning=ExperimentalWarning", ...server.flags, bundle];
    process.execve!(
      process.execPath,
      [process.execPath, ...command, ...argv.slice(1)],
      process.env as Record<string, string>,
    );
  }
  if (server.program === "registry") {
    const { runRegistry } = await import("../src/registry/main.ts");
    process.exit(await runRegistry(argv.slice(1)));
  } else {
    const { runDaemon } = await import("../src/daemon/main.ts");
    process.exit(await runDaemon(argv.slice(1)));
  }
} else {
  const [{ main }, { plainIo }, { startDaemon }] = await Promise.all([
    import("../src/cli/main.ts"),
    import("../src/cli/plain-io.ts"),
    import("../src/cli/start-daemon.ts"),
  ]);
  process.exit(await main(plainIo(argv), { startDaemon }));
}

/** The daemon and the native program speak a protocol of one build. */
async function bringNativeUpToDate(): Promise<void> {
  const { ensureNative } = await import("../tools/build-native.ts");
  try {
    await ensureNative();
  } catch (error) {
    process.stderr.write(`gantry: the native program is not up to date: ${messageOf(error)}\n`);
    process.exit(1);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
