// All devices that the spec folders describe. Folders are in the order of their weight: a device
// of a later one replaces that of an earlier one, two of the same folder are a conflict and
// neither is given. Read anew at each use: vendors' tools write and remove the files as devices
// come and go.

import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, messageOf } from "../../base/index.ts";
import type { DeviceSpec, SpecEdits } from "./contract.ts";
import { parseDeviceSpec } from "./parse-spec.ts";

const FILE_BYTES_MAX = 4 << 20;
const FILES_MAX = 256;

export interface KnownDevice {
  /** Of the whole spec, then of the device. */
  edits: { spec: SpecEdits; device: SpecEdits };
  file: string;
}
export interface DeviceRegistry {
  /** By qualified name. */
  devices: ReadonlyMap<string, KnownDevice>;
  /** Files and names that cannot be used, with the reason. */
  problems: string[];
}

export async function readDevices(folders: readonly string[]): Promise<DeviceRegistry> {
  const problems: string[] = [];
  const devices = new Map<string, KnownDevice>();
  for (const folder of folders) {
    const found = new Map<string, KnownDevice>();
    const conflicts = new Set<string>();
    for (const file of await specFiles(folder, problems)) {
      const spec = await readSpec(file, problems);
      for (const { name, edits } of spec?.devices ?? []) {
        const full = `${spec!.kind}=${name}`;
        const other = found.get(full);
        if (other) {
          conflicts.add(full);
          problems.push(`conflicting device ${full} (CDI Specs ${other.file}, ${file})`);
        }
        found.set(full, { edits: { spec: spec!.edits, device: edits }, file });
      }
    }
    for (const [name, device] of found) devices.set(name, device);
    for (const name of conflicts) devices.delete(name);
  }
  return { devices, problems };
}

async function specFiles(folder: string, problems: string[]): Promise<string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => /\.(json|yaml)$/.test(name)).sort();
    if (names.length > FILES_MAX) {
      problems.push(`${folder}: only the first ${FILES_MAX} specs are read`);
    }
    return names.slice(0, FILES_MAX).map((name) => join(folder, name));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") problems.push(`${folder}: ${messageOf(error)}`);
    return [];
  }
}

/** A pipe in the folder must not hold anybody up. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

async function readSpec(file: string, problems: string[]): Promise<DeviceSpec | undefined> {
  try {
    await using handle = await open(file, OPEN_FLAGS);
    const stats = await handle.stat();
    if (!stats.isFile()) throw new Error("not a regular file");
    if (stats.size > FILE_BYTES_MAX) throw new Error(`larger than ${FILE_BYTES_MAX} bytes`);
    return parseDeviceSpec(await handle.readFile("utf8"));
  } catch (error) {
    problems.push(`${file}: ${messageOf(error)}`);
    return undefined;
  }
}
