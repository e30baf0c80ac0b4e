// checkpoint: CRIU writes a container's processes to a folder; they end, unless they are to go on.

import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../base/index.ts";
import {
  type CheckpointFacts,
  checkSpec,
  dumpArguments,
  FACTS_FILE,
  type KernelFeatures,
  readFacts,
  runDump,
} from "../runtime/index.ts";
import {
  checkEmptied,
  pageServerWords,
  parentWords,
  placesOf,
  refused,
  SHARED_FLAGS,
  sharedWords,
} from "./checkpoint-options.ts";
import { type CommandContext, locked } from "./command.ts";
import { destroyLocked } from "./destroy.ts";
import type { FlagTable, FlagValues } from "./flags.ts";
import type { ContainerState } from "./state-folder.ts";
import { statusOf } from "./status.ts";

export const CHECKPOINT_FLAGS = {
  ...SHARED_FLAGS,
  "parent-path": {
    kind: "string",
    about: "folder of an earlier --pre-dump, from that of the images",
  },
  "leave-running": { kind: "bool", about: "let the container go on" },
  "tcp-skip-in-flight": { kind: "bool", about: "leave out TCP connections that are being made" },
  "link-remap": { kind: "bool", about: "allow open files that have lost their name" },
  "auto-dedup": { kind: "bool", about: "with --parent-path: free what this one repeats" },
  "status-fd": { kind: "int", about: "refused: it serves --lazy-pages" },
  "page-server": { kind: "string", about: "ADDRESS:PORT that takes the memory" },
  "pre-dump": { kind: "bool", about: "write memory alone, and let the container go on" },
} as const satisfies FlagTable;

/** Commit point: CRIU has written everything. A failure leaves the container running. */
export async function checkpoint(
  context: CommandContext,
  id: string,
  flags: FlagValues,
): Promise<void> {
  const { caller, folder, criu } = context;
  const more = wordsOf(flags);
  const preDump = flags.flag("pre-dump");
  const goesOn = preDump || flags.flag("leave-running");
  await locked(context, id, async () => {
    const state = await folder.read(id);
    const status = await statusOf(folder, state);
    if (status !== "running") {
      throw new GantryError("conflict", `Container cannot be checkpointed in ${status} state`);
    }
    checkEmptied(flags, state.spec);
    const facts = await factsOf(state, context.kernel);
    const places = placesOf(flags, caller.io.cwd);
    for (const path of [places.folder, places.workFolder]) {
      await mkdir(path, { recursive: true, mode: 0o700 });
    }
    if (!preDump) {
      await writeFile(join(places.folder, FACTS_FILE), JSON.stringify(facts), { mode: 0o600 });
    }
    const o = { ...places, pid: state.pid, leaveRunning: goesOn, preDump, more };
    const words = dumpArguments(facts, o);
    context.log.debug(`${criu} ${words.join(" ")}`);
    await runDump(words, places.workFolder, { program: criu, path: caller.io.env["PATH"] ?? "" });
    // A CRIU that says it succeeded and wrote nothing would be no checkpoint.
    if ((await readdir(places.folder)).length < 2) {
      throw new GantryError("internal", `criu wrote nothing into ${places.folder}`);
    }
    if (!goesOn) await destroyLocked(context, id, { force: true });
  });
}

function wordsOf(flags: FlagValues): string[] {
  if (flags.has("status-fd")) throw refused("--status-fd: it serves --lazy-pages");
  if (flags.flag("auto-dedup") && !flags.text("parent-path")) {
    throw new GantryError("invalid", "--auto-dedup needs --parent-path");
  }
  return [
    ...sharedWords(flags),
    ...(flags.flag("auto-dedup") ? ["--auto-dedup"] : []),
    ...parentWords(flags.text("parent-path")),
    ...(flags.flag("pre-dump") && !flags.text("parent-path") ? ["--track-mem"] : []),
    ...pageServerWords(flags.text("page-server")),
    ...(flags.flag("tcp-skip-in-flight") ? ["--skip-in-flight"] : []),
    ...(flags.flag("link-remap") ? ["--link-remap"] : []),
  ];
}

async function factsOf(
  { id, pid, spec }: ContainerState,
  { cgroup: { v1, v2 } }: KernelFeatures,
): Promise<CheckpointFacts> {
  checkSpec(spec, { network: true });
  return await readFacts({
    ...{ containerId: id, pid, spec },
    cgroupMount: (names) =>
      names.includes("") ? v2?.path : [...v1].find(([name]) => names.includes(name))?.[1],
    ownNetwork: (spec.linux?.namespaces ?? []).some(({ type }) => type === "network"),
  });
}
