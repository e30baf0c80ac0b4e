// Runs the probe in a container of an engine and reads its rows, together with docker-bench's
// questions about the container's own configuration (its section 5, asked of `inspect`).

import { readFile, readlink } from "node:fs/promises";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import type Docker from "dockerode";
import { SYSCALLS_X86_64 } from "../../src/runtime/seccomp/syscalls-x86-64.ts";
import { benchRows } from "./bench.ts";
import { outputOf } from "./output.ts";
import { rootfsWith } from "./programs.ts";
import type { Variant } from "./variants.ts";

export const IMAGE = "probe:latest";
/** group → key → value */
export type Rows = Record<string, Record<string, string>>;

/** An engine that is asked, and a process in the namespaces that are the host's for it. */
export type Engine = { docker: Docker; hostPid: number };

const HIDDEN_WHEN_OPEN = new Set(["proc write", "sys write", "cgroup write"]);
const WRITABLE_MAX = 40;
const DEVICES_MAX = 12;

export async function importProbe(docker: Docker): Promise<void> {
  const from = new PassThrough();
  from.end(await rootfsWith("probe"));
  const [repo, tag] = IMAGE.split(":");
  const stream = await docker.importImage(from, { repo, tag, changes: "ENV PATH=/bin" });
  await buffer(stream as unknown as PassThrough);
}

export async function probe(engine: Engine, variant: Variant): Promise<Rows> {
  const { docker } = engine;
  const container = await docker.createContainer({
    Image: IMAGE,
    Cmd: variant.exec ? ["sleep"] : ["probe"],
    ...variant.config,
    HostConfig: { NetworkMode: "none", ...variant.host },
  });
  try {
    const inspected = await container.inspect();
    const text = variant.exec
      ? await inExec(container, variant.exec)
      : await toEnd(container, variant.config?.Tty === true);
    return { ...(await rowsOf(text, engine)), bench: benchRows(inspected) };
  } finally {
    await container.remove({ force: true, v: true });
  }
}

async function toEnd(container: Docker.Container, tty: boolean): Promise<string> {
  const stream = await container.attach({ stream: true, stdout: true, stderr: true });
  const text = outputOf(container, stream, tty);
  await container.start();
  const { StatusCode } = (await container.wait()) as { StatusCode: number };
  if (StatusCode !== 0) throw new Error(`The probe ends with ${StatusCode}: ${await text}`);
  return await text;
}

async function inExec(container: Docker.Container, exec: NonNullable<Variant["exec"]>) {
  await container.start();
  const made = await container.exec({
    Cmd: ["probe"],
    AttachStdout: true,
    AttachStderr: true,
    ...(exec.privileged && { Privileged: true }),
    ...(exec.user && { User: exec.user }),
  });
  return await outputOf(container, await made.start({}), false);
}

/** What differs from machine to machine is put in words: a namespace is the host's or not, a
 * capability set everything that the daemon itself has. */
async function rowsOf(text: string, { hostPid }: Engine): Promise<Rows> {
  const rows: Rows = {};
  for (const line of text.split(/\r?\n/)) {
    const [group, key, ...value] = line.split("\t");
    if (!group || !key) continue;
    rows[group] ??= {};
    rows[group][key] = value.join(" ").trim();
  }
  for (const [name, link] of Object.entries(rows["namespace"] ?? {})) {
    const hosts = await readlink(`/proc/${hostPid}/ns/${name}`);
    rows["namespace"]![name] = link === hosts ? "the host's" : "own";
  }
  const held = /CapEff:\s+(\w+)/.exec(await readFile(`/proc/${hostPid}/status`, "utf8"))?.[1];
  for (const [name, mask] of Object.entries(rows["capabilities"] ?? {})) {
    if (mask === held) rows["capabilities"]![name] = "all of the daemon's";
  }
  // Where a whole tree is open, how many files this kernel has in it says nothing.
  for (const [group, files] of Object.entries(rows)) {
    if (!HIDDEN_WHEN_OPEN.has(group) || Object.keys(files).length <= WRITABLE_MAX) continue;
    rows[group] = { "/": "writable" };
  }
  if (Object.keys(rows["dev"] ?? {}).length > DEVICES_MAX) rows["dev"] = { "/dev": "the host's" };
  return rows;
}

export type OciConfiguration = {
  linux: { seccomp?: { syscalls: { names: string[]; action: string; args?: unknown[] }[] } };
};

/** What the profile itself allows, by number: an old libseccomp gives less than it says. */
export function profileRows({ linux }: OciConfiguration): Record<string, string> {
  const allowed = (linux.seccomp?.syscalls ?? []).filter(
    ({ action, args }) => action === "SCMP_ACT_ALLOW" && !args?.length,
  );
  const names = new Set(allowed.flatMap((rule) => rule.names));
  const numbers = [...syscallNames].filter(([, name]) => names.has(name));
  return Object.fromEntries(numbers.map(([number]) => [String(number), "allowed"]));
}

export const syscallNames: ReadonlyMap<number, string> = numbered(SYSCALLS_X86_64);

function numbered(table: string): Map<number, string> {
  const names = new Map<number, string>();
  let next = 0;
  for (const word of table.trim().split(/\s+/)) {
    if (/^\d+$/.test(word)) next = Number(word);
    else names.set(next++, word);
  }
  return names;
}
