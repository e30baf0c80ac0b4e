// The recorded answers of a real dockerd, one file a file of scripts and one line a step, so that a
// change of one shows as one; and which client and daemon they are of.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Listed } from "./differ.ts";
import type { Answer } from "./run-script.ts";

const FOLDER = fileURLToPath(new URL("recorded", import.meta.url));
const LIST = fileURLToPath(new URL("differences.json", import.meta.url));

/** By the name of the script. */
export type Recorded = Record<string, Answer[]>;
export type Versions = { client: string; daemon: string; api: string; driver: string };

export async function readRecorded(file: string): Promise<Recorded> {
  const text = await readFile(join(FOLDER, `${file}.json`), "utf8").catch(() => "{}");
  return JSON.parse(text) as Recorded;
}

export async function writeRecorded(file: string, recorded: Recorded): Promise<void> {
  const scripts = Object.entries(recorded).map(([name, answers]) => {
    const lines = answers.map((answer) => `  ${JSON.stringify(answer)}`);
    return `${JSON.stringify(name)}: [\n${lines.join(",\n")}\n]`;
  });
  await writeFile(join(FOLDER, `${file}.json`), `{\n${scripts.join(",\n")}\n}\n`);
}

export async function readVersions(): Promise<Versions> {
  return JSON.parse(await readFile(join(FOLDER, "versions.json"), "utf8")) as Versions;
}

export async function writeVersions(versions: Versions): Promise<void> {
  await writeFile(join(FOLDER, "versions.json"), `${JSON.stringify(versions, undefined, 2)}\n`);
}

export async function readList(): Promise<Listed[]> {
  return JSON.parse(await readFile(LIST, "utf8")) as Listed[];
}
