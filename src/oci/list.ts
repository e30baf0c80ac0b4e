// list and ps.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { promisify } from "node:util";
import { GantryError } from "../base/index.ts";
import { shownState } from "./public-state.ts";
import type { ContainerState, StateFolder } from "./state-folder.ts";
import { statusOf } from "./status.ts";

export async function listContainers(
  folder: StateFolder,
  format: string,
  quiet: boolean,
): Promise<string> {
  if (format !== "table" && format !== "json")
    throw new GantryError("invalid", "invalid format option");
  const ids = await folder.list();
  const found = await Promise.all(
    ids.map(async (id) => {
      try {
        const state = await folder.read(id);
        return shownState(state, await statusOf(folder, state));
      } catch {
        return undefined; // it is being made or removed
      }
    }),
  );
  const states = found.filter((state) => state !== undefined);
  if (quiet) return states.map(({ id }) => `${id}\n`).join("");
  if (format === "json") return `${states.length ? JSON.stringify(states) : "null"}\n`;
  const rows = states.map((s) => [
    ...[s.id, String(s.pid), s.status, s.bundle, s.created],
    s.owner === "" ? userInfo().username : s.owner,
  ]);
  return table([["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], ...rows]);
}

const MINIMUM = 12;
const PADDING = 3;

function table(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, column) =>
    Math.max(MINIMUM, ...rows.map((row) => row[column]!.length + PADDING)),
  );
  return rows
    .map((row) =>
      row.map((cell, i) => (i < row.length - 1 ? cell.padEnd(widths[i]!) : cell)).join(""),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** The processes of a container in the host's numbers. */
async function pidsOf({ cgroupPaths }: ContainerState): Promise<number[]> {
  const path = cgroupPaths[""] ?? cgroupPaths["pids"] ?? Object.values(cgroupPaths)[0];
  if (path === undefined) return [];
  const text = await readFile(`${path}/cgroup.procs`, "utf8").catch(() => "");
  return text.split("\n").filter(Boolean).map(Number);
}

export async function listProcesses(
  state: ContainerState,
  format: string,
  options: readonly string[],
): Promise<string> {
  const pids = await pidsOf(state);
  if (format === "json") return `${JSON.stringify(pids)}\n`;
  if (format !== "table") throw new GantryError("invalid", "invalid format option");
  const { stdout } = await promisify(execFile)("ps", options.length > 0 ? [...options] : ["-ef"]);
  const [head = "", ...lines] = stdout.split("\n");
  const column = head.trim().split(/\s+/).indexOf("PID");
  if (column < 0) throw new GantryError("invalid", "couldn't find PID field in ps output");
  const own = lines.filter((line) => pids.includes(Number(line.trim().split(/\s+/)[column])));
  return [head, ...own].map((line) => `${line}\n`).join("");
}
