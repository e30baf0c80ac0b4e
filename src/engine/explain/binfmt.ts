// Whether the host's kernel hands programs of another architecture to an emulator (binfmt_misc).

import { readdir, readFile } from "node:fs/promises";

const FOLDER = "/proc/sys/fs/binfmt_misc";
/** Architecture → e_machine, whose bytes stand in the handler's magic. */
const MACHINES: Readonly<Record<string, number>> = {
  "386": 3,
  arm: 40,
  amd64: 62,
  arm64: 183,
  ppc64le: 21,
  riscv64: 243,
  s390x: 22,
};
/** Offset of e_machine, in hexadecimal digits. */
const MACHINE_AT = 36;

export async function hasBinfmt(architecture: string): Promise<boolean> {
  const names = await readdir(FOLDER).catch(() => [] as string[]);
  for (const name of names) {
    if (name === "register" || name === "status") continue;
    const text = await readFile(`${FOLDER}/${name}`, "utf8").catch(() => "");
    if (handles(text, architecture)) return true;
  }
  return false;
}

/** A handler's file: "enabled", "interpreter …", "magic 7f454c46…". Pure. */
export function handles(text: string, architecture: string): boolean {
  const machine = MACHINES[architecture];
  const magic = /^magic ([0-9a-f]+)$/m.exec(text)?.[1];
  if (machine === undefined || !magic || !/^enabled$/m.test(text)) return false;
  const bytes = Buffer.from(magic.slice(MACHINE_AT, MACHINE_AT + 4), "hex");
  return (
    bytes.length === 2 && (bytes.readUInt16LE(0) === machine || bytes.readUInt16BE(0) === machine)
  );
}
