// What a runtime that daemon.json registers means here: a program with arguments, or a shim of
// containerd. There is no containerd; but its shim for runc does no more than run the program that
// its options name, which we do instead. Pure, but for looking a name up on PATH.

import { accessSync, constants } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { GantryError } from "../../base/index.ts";
import type { ForeignRuntime } from "../../runtime/index.ts";
import type { RegisteredRuntime } from "../context.ts";

const RUNC_SHIM = /^io\.containerd\.runc\.v2$|\/containerd-shim-runc-v2$/;

/** Undefined where it means what is built in. Throws not-implemented for other shims and for
 * options that only a shim could honour. */
export function programOf(
  name: string,
  { path = "", runtimeArgs = [], runtimeType = "", options = {} }: RegisteredRuntime,
): Omit<ForeignRuntime, "bundle"> | undefined {
  if (path !== "") return { path, args: runtimeArgs };
  if (!RUNC_SHIM.test(runtimeType)) {
    throw new GantryError(
      "not-implemented",
      `runtime ${name} is a shim of containerd, and there is no containerd: register its program ` +
        'by "path" in daemon.json',
    );
  }
  const wanted = Object.entries(options).filter(([, value]) => isSet(value));
  if (wanted.length === 0) return undefined;
  const known = ["BinaryName", "Root", "NoPivotRoot", "NoNewKeyring"];
  const unknown = wanted.find(([key]) => !known.includes(key))?.[0];
  if (unknown !== undefined) throw refused(name, `option ${unknown} of its shim`);
  const { BinaryName = "", Root = "", NoPivotRoot, NoNewKeyring } = options;
  if (typeof BinaryName !== "string" || typeof Root !== "string") {
    throw new GantryError("invalid", `runtime ${name}: BinaryName and Root are texts`);
  }
  if (BinaryName === "") throw refused(name, "options of its shim without BinaryName");
  return {
    path: onPath(name, BinaryName),
    args: [],
    ...(Root !== "" && { root: Root }),
    runArgs: [
      ...(NoPivotRoot === true ? ["--no-pivot"] : []),
      ...(NoNewKeyring === true ? ["--no-new-keyring"] : []),
    ],
  };
}

const isSet = (value: unknown): boolean =>
  value !== undefined && value !== null && value !== "" && value !== false && value !== 0;

const refused = (name: string, what: string): GantryError =>
  new GantryError("not-implemented", `runtime ${name}: ${what}: not supported`);

function onPath(name: string, program: string): string {
  if (isAbsolute(program)) return program;
  const folders = program.includes("/") ? [] : (process.env["PATH"] ?? "").split(delimiter);
  const found = folders
    .filter(isAbsolute)
    .map((folder) => join(folder, program))
    .find(isProgram);
  if (found !== undefined) return found;
  const message = `runtime ${name}: exec: ${JSON.stringify(program)}: executable file not found in $PATH`;
  throw new GantryError("invalid", message);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
