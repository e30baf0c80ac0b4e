// Programs that extend the command line, as docker's client finds them: an executable docker-NAME
// in one of the plugin folders, which answers `docker-cli-plugin-metadata` with who it is.

import { execFile } from "node:child_process";
import { accessSync, constants, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Session } from "../session.ts";

const SYSTEM_FOLDERS = [
  "/usr/local/lib/docker/cli-plugins",
  "/usr/local/libexec/docker/cli-plugins",
  "/usr/lib/docker/cli-plugins",
  "/usr/libexec/docker/cli-plugins",
];
const FILE_NAME = /^docker-([a-z][a-z0-9]*)$/;
const METADATA_MS_MAX = 10_000;
const METADATA_BYTES_MAX = 1 << 20;

export interface Plugin {
  name: string;
  path: string;
  short?: string;
}
interface Metadata {
  SchemaVersion?: string;
  Vendor?: string;
  Version?: string;
  ShortDescription?: string;
  Hidden?: boolean;
}

/** Where plugins are looked for; the first that has a name has it. */
function pluginFolders(session: Session): string[] {
  const extra = session.config["cliPluginsExtraDirs"];
  const named = Array.isArray(extra) ? extra.filter((one) => typeof one === "string") : [];
  return [...named, join(session.configFolder, "cli-plugins"), ...SYSTEM_FOLDERS];
}

/** Every plugin there is, by name; nothing is run. */
export function findPlugins(session: Session): Plugin[] {
  const found = new Map<string, Plugin>();
  for (const folder of pluginFolders(session)) {
    let files: string[];
    try {
      files = readdirSync(folder);
    } catch {
      continue; // most machines have few of the folders
    }
    for (const file of files) {
      const name = FILE_NAME.exec(file)?.[1];
      const path = join(folder, file);
      if (name !== undefined && !found.has(name) && isExecutable(path)) {
        found.set(name, { name, path });
      }
    }
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The plugin with what it says of itself; undefined where it is none after all. */
export async function describePlugin(
  session: Session,
  plugin: Plugin,
): Promise<(Plugin & { metadata: Metadata }) | undefined> {
  try {
    const { stdout } = await promisify(execFile)(plugin.path, ["docker-cli-plugin-metadata"], {
      env: { ...session.io.env },
      cwd: session.io.cwd,
      timeout: METADATA_MS_MAX,
      maxBuffer: METADATA_BYTES_MAX,
    });
    const metadata = JSON.parse(stdout) as Metadata;
    if (metadata.SchemaVersion !== "0.1.0" || !metadata.Vendor) return undefined;
    return { ...plugin, metadata, short: metadata.ShortDescription ?? "" };
  } catch {
    return undefined;
  }
}
