// Whether this machine can run the commands of another architecture: by the kernel's list of
// emulators (binfmt_misc). A build that would fail at its first RUN says so before anything runs.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type BuildGraph, errorAt, neededBy } from "../../build/index.ts";
import type { Native } from "../../native/index.ts";
import { type Platform, writePlatform } from "../../spec/index.ts";
import { alsoRuns, hostPlatform } from "../images/find.ts";

const BINFMT = "/proc/sys/fs/binfmt_misc";
/** The machine of an ELF file (e_machine) by architecture, as <elf.h> numbers them. */
const MACHINES: Readonly<Record<string, number>> = {
  ...{ "386": 3, mips: 8, mipsle: 8, ppc64: 21, ppc64le: 21, s390x: 22, arm: 40, amd64: 62 },
  ...{ arm64: 183, riscv64: 243, loong64: 258 },
};
/** personality(2) of 32-bit programs. The kernel of arm64 refuses it where its processors, as more
 * and more of them do, know no such programs. */
const PER_LINUX32 = 8;
const BIG_ENDIAN = ["mips", "ppc64", "s390x"];
const MACHINE_AT = 18;

/** Who asks the kernel about the processor. */
type Processor = Pick<Native, "run">;

/** Throws invalid at the first RUN that cannot be run here. */
export async function refuseForeignRuns(
  graphs: readonly BuildGraph[],
  native: Processor,
): Promise<void> {
  const needed = neededBy(...graphs.map(({ target }) => target.top));
  const runnable = new Map<string, boolean>();
  for (const graph of graphs) {
    for (const { evaluated, steps } of graph.stages) {
      const run = steps.find(({ step, vertex }) => step.kind === "run" && needed.has(vertex!));
      if (run === undefined) continue;
      const { platform } = evaluated;
      const known = runnable.get(platform.architecture) ?? (await canRun(platform, native));
      runnable.set(platform.architecture, known);
      if (known) continue;
      const wanted = writePlatform(platform);
      const remedy =
        `register an emulator (qemu-user) with the flag F, or let the stage run here and compile ` +
        "for the other platform: FROM --platform=$BUILDPLATFORM";
      const place = { source: graph.plan.file.source, range: run.step.instruction.range, remedy };
      const host = writePlatform(hostPlatform());
      const message = `cannot run commands of ${wanted} on this machine (${host})`;
      throw errorAt(place, `${message}: no emulator is registered in ${BINFMT}`);
    }
  }
}

/** Whether commands of a platform run here, by the processor itself or an emulator. */
export async function canRun(
  { os, architecture }: Platform,
  native: Processor,
  folder = BINFMT,
): Promise<boolean> {
  if (os !== "linux") return false;
  const host = hostPlatform().architecture;
  if (architecture === host) return true;
  if (alsoRuns[host]?.includes(architecture) && (host !== "arm64" || (await runsNarrow(native)))) {
    return true;
  }
  const machine = MACHINES[architecture];
  if (machine === undefined) return false;
  const isBig = BIG_ENDIAN.includes(architecture);
  const entries = await readdir(folder).catch(() => []);
  for (const entry of entries) {
    if (entry === "register" || entry === "status") continue;
    const text = await readFile(join(folder, entry), "utf8").catch(() => "");
    if (emulates(text, machine, isBig)) return true;
  }
  return false;
}

async function runsNarrow(native: Processor): Promise<boolean> {
  return await native.run({ host: [{ op: "personality", value: PER_LINUX32 }] }).then(
    () => true,
    () => false,
  );
}

/** Every platform whose commands run here; the machine's own first. */
export async function runnablePlatforms(native: Processor): Promise<Platform[]> {
  const others = Object.keys(MACHINES).map((architecture) => ({ os: "linux", architecture }));
  const own = hostPlatform();
  const runs = await Promise.all(others.map((platform) => canRun(platform, native)));
  const found = others.filter((_, index) => runs[index]);
  return [own, ...found.filter(({ architecture }) => architecture !== own.architecture)];
}

/** An entry's magic has the machine where an ELF file has it. The interpreter must have been
 * opened when it was registered (F): a step's own files do not hold it. */
export function emulates(entry: string, machine: number, isBigEndian: boolean): boolean {
  if (!/^enabled$/m.test(entry) || !/^flags:.*F/m.test(entry)) return false;
  const offset = Number(/^offset (\d+)$/m.exec(entry)?.[1] ?? 0);
  const magic = Buffer.from(/^magic ([0-9a-f]+)$/m.exec(entry)?.[1] ?? "", "hex");
  if (offset !== 0 || magic.length < MACHINE_AT + 2) return false;
  const found = isBigEndian ? magic.readUInt16BE(MACHINE_AT) : magic.readUInt16LE(MACHINE_AT);
  return found === machine;
}
