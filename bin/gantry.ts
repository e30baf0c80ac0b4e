// The entry of plain Node: the daemon's verbs load the daemon, everything else is the client.

/** V8 lets its young generation grow to 3 × 16 MiB and keeps it; the daemon's garbage is small. */
const YOUNG = "--max-semi-space-size=2";

const argv = process.argv.slice(2);
if (argv[0] === "daemon" || argv[0] === "dockerd") {
  const { bundleDaemon } = await import("../tools/bundle-daemon.ts");
  const bundle = process.env["GANTRY_FROM_SOURCES"] ? undefined : await bundleDaemon();
  if (bundle !== undefined) {
    // In place: the same pid, without the type stripper.
    const command = [process.execPath, "--disable-warning=ExperimentalWarning", YOUNG, bundle];
    process.execve!(process.execPath, [...command, ...argv.slice(1)], process.env);
  }
  const { runDaemon } = await import("../src/daemon/main.ts");
  process.exitCode = await runDaemon(argv.slice(1));
} else {
  const [{ main }, { plainIo }, { startDaemon }] = await Promise.all([
    import("../src/cli/main.ts"),
    import("../src/cli/plain-io.ts"),
    import("../src/cli/start-daemon.ts"),
  ]);
  process.exit(await main(plainIo(argv), { startDaemon }));
}
