// The words for CRIU: what is dumped and restored is the same whoever asks for it.

import type { OciSpec } from "../../spec/index.ts";
import { RESTORE_FDS } from "../plan-restore.ts";
import { type CheckpointFacts, sourceOf } from "./facts.ts";

export const CRIU_LOG = { dump: "dump.log", restore: "restore.log" } as const;

/** What every checkpoint of the engine may have: there is nobody whom it could ask. */
export const ENGINE_WORDS = ["--ext-unix-sk", "--file-locks"] as const;

interface Place {
  /** Where the images are. */
  folder: string;
  workFolder: string;
  /** Further words, which the planner has no opinion of. */
  more?: readonly string[];
}

export interface DumpOptions extends Place {
  pid: number;
  leaveRunning: boolean;
  /** Only memory, while the processes go on: for a later dump. */
  preDump?: boolean;
}

export function dumpArguments(facts: CheckpointFacts, o: DumpOptions): string[] {
  const files = Object.values(facts.pipes).filter((name) => name.startsWith("file["));
  return [
    ...[o.preDump ? "pre-dump" : "dump", "--tree", String(o.pid), "--images-dir", o.folder],
    ...["--work-dir", o.workFolder, "--log-file", CRIU_LOG.dump, "-v2"],
    "--manage-cgroups=ignore",
    ...(o.leaveRunning && !o.preDump ? ["--leave-running"] : []),
    ...(facts.network ? ["--external", `net[${facts.network}]:extRootNetNS`] : []),
    ...facts.externals.flatMap(({ target }) => ["--external", `mnt[${target}]:${target}`]),
    ...[...new Set(files)].flatMap((name) => ["--external", name]),
    ...(o.more ?? []),
  ];
}

export interface RestoreOptions extends Place {
  /** Where the root file system is mounted. */
  rootFolder: string;
  pidFile: string;
  facts: CheckpointFacts;
}

export function restoreArguments(spec: OciSpec, o: RestoreOptions): string[] {
  const { facts } = o;
  const seen = new Set<string>();
  const inherit = (fd: number, name: string | undefined): string[] => {
    // One file may be several streams: it is inherited once.
    if (name === undefined || seen.has(name)) return [];
    seen.add(name);
    return ["--inherit-fd", `fd[${fd}]:${name}`];
  };
  return [
    ...["restore", "--images-dir", o.folder, "--work-dir", o.workFolder],
    ...["--log-file", CRIU_LOG.restore, "-v2", "--root", o.rootFolder, "--pidfile", o.pidFile],
    ...["--restore-detached", "--manage-cgroups=ignore"],
    ...inherit(RESTORE_FDS.network, facts.network && "extRootNetNS"),
    ...inherit(RESTORE_FDS.stdin, facts.pipes.stdin),
    ...inherit(RESTORE_FDS.stdout, facts.pipes.stdout),
    ...inherit(RESTORE_FDS.stderr, facts.pipes.stderr),
    ...facts.externals.flatMap((external) => [
      "--external",
      `mnt[${external.target}]:${sourceOf(spec, external)}`,
    ]),
    ...(o.more ?? []),
  ];
}
