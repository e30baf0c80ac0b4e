// The flags that checkpoint and restore share, in CRIU's words; what cannot be honoured is refused.

import { isAbsolute, resolve } from "node:path";
import { GantryError } from "../base/index.ts";
import type { OciSpec } from "../spec/index.ts";
import type { FlagTable, FlagValues } from "./flags.ts";

export const SHARED_FLAGS = {
  "image-path": { kind: "string", about: "folder of the images (default: ./checkpoint)" },
  "work-path": { kind: "string", about: "folder of CRIU's logs (default: that of the images)" },
  "tcp-established": { kind: "bool", about: "allow open TCP connections" },
  "ext-unix-sk": { kind: "bool", about: "allow connections to unix sockets outside" },
  "shell-job": { kind: "bool", about: "refused: terminals cannot be checkpointed" },
  "file-locks": { kind: "bool", about: "allow locks on files" },
  "manage-cgroups-mode": {
    kind: "string",
    about: "ignore: cgroups are the configuration's",
  },
  "empty-ns": { kind: "list", about: "network: it comes back in a new one, as always here" },
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
  if (flags.flag("shell-job")) {
    throw refused("--shell-job: containers with a terminal cannot be checkpointed");
  }
  const mode = flags.text("manage-cgroups-mode");
  if (mode !== "" && mode !== "ignore") {
    if (!["soft", "full", "strict"].includes(mode)) {
      throw new GantryError("invalid", `Invalid manage-cgroups-mode value: ${mode}`);
    }
    throw refused(`--manage-cgroups-mode ${mode}: cgroups are made from the configuration`);
  }
  return [
    ...(flags.flag("tcp-established") ? ["--tcp-established"] : []),
    ...(flags.flag("ext-unix-sk") ? ["--ext-unix-sk"] : []),
    ...(flags.flag("file-locks") ? ["--file-locks"] : []),
  ];
}

/** A network namespace is never in a checkpoint: a new one is made, or another joined. */
export function checkEmptied(flags: FlagValues, { linux }: OciSpec): void {
  for (const name of flags.list("empty-ns")) {
    if (name !== "network") {
      throw new GantryError("invalid", `namespace ${name} is not supported`);
    }
    const own = linux?.namespaces?.find(({ type }) => type === "network");
    if (own && !own.path) continue;
    throw refused("--empty-ns network: the container has no network namespace of its own");
  }
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
