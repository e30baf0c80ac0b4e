// The flags that checkpoint and restore share, in CRIU's words; what cannot be honoured is refused.

import { isAbsolute, resolve } from "node:path";
import { GantryError } from "../base/index.ts";
import type { FlagTable, FlagValues } from "./flags.ts";

export const SHARED_FLAGS = {
  "image-path": { kind: "string", about: "folder of the images (default: ./checkpoint)" },
  "work-path": { kind: "string", about: "folder of CRIU's logs (default: that of the images)" },
  "tcp-established": { kind: "bool", about: "allow open TCP connections" },
  "ext-unix-sk": { kind: "bool", about: "allow connections to unix sockets outside" },
  "shell-job": { kind: "bool", about: "allow processes of a shell's job" },
  "file-locks": { kind: "bool", about: "allow locks on files" },
  "manage-cgroups-mode": {
    kind: "string",
    about: "ignore or soft: cgroups are the configuration's",
  },
  "empty-ns": { kind: "list", about: "network: its interfaces are not kept, as always here" },
  "auto-dedup": { kind: "bool", about: "free what a later image repeats" },
  "lazy-pages": { kind: "bool", about: "refused: nobody would serve the pages" },
} as const satisfies FlagTable;

const DEFAULT_FOLDER = "checkpoint";

export function placesOf(flags: FlagValues, cwd: string): { folder: string; workFolder: string } {
  const folder = resolve(cwd, flags.text("image-path") || DEFAULT_FOLDER);
  return { folder, workFolder: resolve(cwd, flags.text("work-path") || folder) };
}

/** Throws not-implemented for what cannot be. */
export function sharedWords(flags: FlagValues): string[] {
  if (flags.flag("lazy-pages")) {
    throw refused("--lazy-pages: the pages would need a server that outlives this command");
  }
  const mode = flags.text("manage-cgroups-mode");
  if (mode !== "" && mode !== "ignore" && mode !== "soft") {
    if (mode !== "full" && mode !== "strict") {
      throw new GantryError("invalid", `Invalid manage-cgroups-mode value: ${mode}`);
    }
    throw refused(`--manage-cgroups-mode ${mode}: cgroups are made from the configuration`);
  }
  for (const namespace of flags.list("empty-ns")) {
    if (namespace !== "network") {
      throw new GantryError("invalid", `namespace ${namespace} is not supported`);
    }
  }
  return [
    ...(flags.flag("tcp-established") ? ["--tcp-established"] : []),
    ...(flags.flag("shell-job") ? ["--shell-job"] : []),
    ...(flags.flag("auto-dedup") ? ["--auto-dedup"] : []),
  ];
}

/** The folder of an earlier --pre-dump, relative to the images as CRIU has it. */
export function parentWords(path: string): string[] {
  if (path === "") return [];
  if (isAbsolute(path)) throw new GantryError("invalid", "--parent-path must be relative");
  return ["--prev-images-dir", path, "--track-mem"];
}

export function pageServerWords(text: string): string[] {
  if (text === "") return [];
  const at = text.lastIndexOf(":");
  const [address, port] = [text.slice(0, at), text.slice(at + 1)];
  if (at <= 0 || !/^\d{1,5}$/.test(port)) {
    throw new GantryError("invalid", "Use --page-server ADDRESS:PORT to specify page server");
  }
  return ["--page-server", "--address", address, "--port", port];
}

export const refused = (what: string): GantryError =>
  new GantryError("not-implemented", `not supported: ${what}`);
