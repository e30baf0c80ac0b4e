// What a command of gantry-runtime is, and what all of them work with.

import { GantryError } from "../base/index.ts";
import type { KernelFeatures } from "../runtime/index.ts";
import type { Caller } from "./caller.ts";
import type { FlagTable, FlagValues } from "./flags.ts";
import type { Log } from "./log.ts";
import type { StateFolder } from "./state-folder.ts";

export interface CommandContext {
  caller: Caller;
  folder: StateFolder;
  kernel: KernelFeatures;
  log: Log;
  /** --systemd-cgroup. */
  systemdCgroup: boolean;
  /** The program of --criu. */
  criu: string;
}

export interface Command {
  about: string;
  flags: FlagTable;
  /** Number of arguments, at least and at most. */
  args: [number, number];
  usage: string;
  /** Paragraphs below the flags of its help. */
  more?: string;
  /** Stands before what went wrong: "create failed". */
  failure?: string;
  /** Exit code when it fails; 1. */
  failureCode?: number;
  run(context: CommandContext, args: readonly string[], flags: FlagValues): Promise<number>;
}

/** How long another command may work on the same container: hooks and CRIU take their time. */
const LOCK_WAIT_MS = 60_000;

/** Does `work` while no other process changes the container. Throws not-found when it has been
 * removed, timeout when another one does not come to an end. */
export async function locked<Result>(
  { caller, folder }: Pick<CommandContext, "caller" | "folder">,
  id: string,
  work: () => Promise<Result>,
): Promise<Result> {
  await caller.lock(folder.folder(id), LOCK_WAIT_MS).catch((cause: unknown) => {
    if (!(cause instanceof GantryError)) throw cause;
    if (cause.kind === "not-found") {
      throw new GantryError("not-found", "container does not exist", { cause });
    }
    const why = String(cause.detail["text"] ?? cause.message);
    throw new GantryError(cause.kind, `cannot work on container ${id}: ${why}`, { cause });
  });
  try {
    return await work();
  } finally {
    await caller.unlock();
  }
}
