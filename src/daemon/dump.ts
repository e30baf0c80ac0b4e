// SIGUSR1, as with dockerd: a file beneath the exec root that says what the daemon is doing. There
// are no goroutines to print: what hangs here is a request, a lock that somebody holds, or a handle
// of the event loop, so those are listed, with the stacks and the memory that Node reports.

import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Logger, messageOf } from "../base/index.ts";
import type { Program } from "./program.ts";

const FILE = /^gantry-dump-.*\.log$/;
const FILES_MAX = 10;

type Part = () => unknown;

export class Dump {
  #folder: string;
  #about: Program;
  #log: Logger;
  #parts = new Map<string, Part>();

  constructor(folder: string, about: Program, log: Logger) {
    this.#folder = folder;
    this.#about = about;
    this.#log = log;
  }

  /** A section of its own; the daemon may be asked before all its parts are there. */
  add(title: string, part: Part): void {
    this.#parts.set(title, part);
  }

  /** Resolves with the path. The file is for root alone: it names containers and addresses. */
  async write(): Promise<string> {
    const text = this.#text();
    const time = new Date().toISOString().replaceAll(/[:.]/g, "");
    const path = join(this.#folder, `gantry-dump-${time}.log`);
    await mkdir(this.#folder, { recursive: true, mode: 0o711 });
    await writeFile(path, text, { mode: 0o600 });
    this.#log.info(`goroutine stacks written to ${path}`, summary(text));
    await this.#removeOld();
    return path;
  }

  #text(): string {
    const sections: [string, Part][] = [
      ["daemon", () => ({ ...this.#about, pid: process.pid, uptimeSeconds: process.uptime() })],
      ...this.#parts,
      ["event loop", eventLoop],
      ["memory", () => ({ ...process.memoryUsage(), ...process.resourceUsage() })],
      ["node", nodeReport],
    ];
    return sections.map(([title, part]) => `== ${title} ==\n${rendered(part)}\n`).join("\n");
  }

  async #removeOld(): Promise<void> {
    const files = (await readdir(this.#folder)).filter((name) => FILE.test(name)).sort();
    for (const name of files.slice(0, -FILES_MAX)) await rm(join(this.#folder, name));
  }
}

/** One part that fails does not take the others with it. */
function rendered(part: Part): string {
  try {
    return JSON.stringify(part(), bigints, 2);
  } catch (error) {
    return `could not be told: ${messageOf(error)}`;
  }
}

const bigints = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? String(value) : value;

/** How many of each kind keep the event loop alive. */
function eventLoop(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Stacks, heap and handles. Without the environment, where passwords of proxies may be. */
function nodeReport(): unknown {
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  report.excludeEnv = true;
  report.excludeNetwork = true;
  const {
    header,
    sharedObjects: _,
    ...rest
  } = report.getReport() as unknown as {
    header: Record<string, unknown>;
    sharedObjects: unknown;
  };
  return { nodejsVersion: header["nodejsVersion"], ...rest };
}

function summary(text: string): Record<string, unknown> {
  const { heapUsed, rss } = process.memoryUsage();
  return { bytes: text.length, heapUsed, rss };
}
