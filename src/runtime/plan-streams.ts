// Standard streams: pipes whose other ends the monitor keeps, or a pty of the container's own
// devpts. The pipes belong to the container's user, who may open /dev/stdout again.

import { GantryError } from "../base/index.ts";
import type { Operation } from "../native/index.ts";
import type { OciProcess } from "../spec/index.ts";
import { MS, O, S_IFCHR } from "./kernel-numbers.ts";
import { SLOT } from "./plan-builder.ts";

/** struct winsize has 16 bits each. */
const SIZE_MAX = 65_535;

/** Host half: makes the pipes and hands the monitor its ends. */
export function planPipes(openStdin: boolean, uid: number): Operation[] {
  const operations: Operation[] = [];
  const add = (read: number, write: number, name: string, ours: number, theirs: number) => {
    operations.push({ op: "pipe", read, write }, { op: "export", slot: ours, as: name });
    operations.push({ op: "close", slot: ours });
    if (uid !== 0) operations.push({ op: "chown", root: theirs, path: "", uid, gid: -1 });
  };
  const s = SLOT;
  if (openStdin) add(s.stdinRead, s.stdinWrite, "stdin", s.stdinWrite, s.stdinRead);
  add(s.stdoutRead, s.stdoutWrite, "stdout", s.stdoutRead, s.stdoutWrite);
  add(s.stderrRead, s.stderrWrite, "stderr", s.stderrRead, s.stderrWrite);
  return operations;
}

/** Container half of a new container. Without stdin, its own /dev/null (verified) takes its place:
 * /proc/self/fd/0 then names a file that the container has. */
export function planStreams(openStdin: boolean, root: number): Operation[] {
  if (openStdin) return planExecStreams(SLOT.stdinRead);
  return [
    { op: "open", root, path: "/dev/null", flags: O.RDWR, to: SLOT.stdinRead },
    { op: "assertDevice", slot: SLOT.stdinRead, mode: S_IFCHR, major: 1, minor: 3 },
    ...planExecStreams(SLOT.stdinRead),
  ];
}

/** Container half of an exec, whose stdin is a pipe or the host's /dev/null: a container may have
 * lost its own. */
export function planExecStreams(stdin: number): Operation[] {
  return [
    { op: "dup2", slot: stdin, fd: 0 },
    { op: "dup2", slot: SLOT.stdoutWrite, fd: 1 },
    { op: "dup2", slot: SLOT.stderrWrite, fd: 2 },
  ];
}

/** Container half, after devpts is mounted and setsid is done. `console`: bind the terminal over
 * /dev/console, as a container's init expects it. */
export function planTerminal(
  process: OciProcess,
  o: { root?: number; console: boolean },
): Operation[] {
  const at = o.root === undefined ? {} : { root: o.root };
  const { consoleSize, user } = process;
  for (const size of Object.values(consoleSize ?? {})) {
    if (Number.isInteger(size) && size >= 0 && size <= SIZE_MAX) continue;
    throw new GantryError("invalid", `process.consoleSize: ${size} is no size of a terminal`);
  }
  const operations: Operation[] = [
    {
      op: "pty",
      ...at,
      path: "/dev/pts/ptmx",
      master: SLOT.ptyMaster,
      slave: SLOT.ptySlave,
      rows: consoleSize?.height ?? 0,
      columns: consoleSize?.width ?? 0,
      uid: user.uid,
    },
    { op: "export", slot: SLOT.ptyMaster, as: "tty" },
    { op: "close", slot: SLOT.ptyMaster },
  ];
  if (o.console) {
    operations.push(
      { op: "openTree", slot: SLOT.ptySlave, path: "", to: SLOT.temporary },
      { op: "mountAttr", slot: SLOT.temporary, propagation: MS.PRIVATE },
      { op: "moveMount", slot: SLOT.temporary, ...at, path: "/dev/console", make: "file" },
      { op: "close", slot: SLOT.temporary },
    );
  }
  operations.push(
    { op: "controllingTty", slot: SLOT.ptySlave },
    { op: "dup2", slot: SLOT.ptySlave, fd: 0 },
    { op: "dup2", slot: SLOT.ptySlave, fd: 1 },
    { op: "dup2", slot: SLOT.ptySlave, fd: 2 },
    { op: "close", slot: SLOT.ptySlave },
  );
  return operations;
}
