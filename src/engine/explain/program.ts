// What a file is to execve(2), from its first bytes: an ELF program of some machine with or
// without a loader, a script with an interpreter, or nothing that can be run. Source: elf(5),
// execve(2). Pure; the bytes come from an image and may be anything.

export type Program =
  | { kind: "elf"; architecture: string; loader?: string }
  | { kind: "script"; interpreter: string; carriageReturn: boolean }
  | { kind: "empty" }
  | { kind: "text" }
  | { kind: "unknown" };

/** e_machine → architecture as images name it. */
const MACHINES: Readonly<Record<number, string>> = {
  3: "386",
  8: "mips",
  20: "ppc",
  21: "ppc64le",
  22: "s390x",
  40: "arm",
  62: "amd64",
  183: "arm64",
  243: "riscv64",
  258: "loong64",
};
const PT_INTERP = 3;
const EM_PPC64 = 21;
const HEADERS_MAX = 64;
const LOADER_BYTES_MAX = 4096;
const SCRIPT_LINE_BYTES = 256;

export function readProgram(head: Buffer): Program {
  if (head.length === 0) return { kind: "empty" };
  if (head.length >= 20 && head.readUInt32BE(0) === 0x7f454c46) return readElf(head);
  if (head.toString("latin1", 0, 2) === "#!") return readScript(head);
  const sample = head.subarray(0, SCRIPT_LINE_BYTES);
  return { kind: sample.includes(0) ? "unknown" : "text" };
}

function readScript(head: Buffer): Program {
  const line = head.toString("utf8", 2, SCRIPT_LINE_BYTES).split("\n")[0]!;
  const [word = ""] = line.replace(/^[ \t]+/, "").split(/[ \t]/);
  const carriageReturn = word.endsWith("\r");
  return { kind: "script", interpreter: word.replace(/\r$/, ""), carriageReturn };
}

function readElf(head: Buffer): Program {
  const wide = head[4] === 2;
  const little = head[5] === 1;
  const u16 = (at: number) => (little ? head.readUInt16LE(at) : head.readUInt16BE(at));
  const u32 = (at: number) => (little ? head.readUInt32LE(at) : head.readUInt32BE(at));
  const word = (at: number) =>
    wide ? Number(little ? head.readBigUInt64LE(at) : head.readBigUInt64BE(at)) : u32(at);
  const machine = u16(18);
  const named = MACHINES[machine] ?? `machine ${machine}`;
  const architecture = machine === EM_PPC64 && !little ? "ppc64" : named;
  const program: Program = { kind: "elf", architecture };
  try {
    const table = word(wide ? 32 : 28);
    const size = u16(wide ? 54 : 42);
    const count = Math.min(u16(wide ? 56 : 44), HEADERS_MAX);
    for (let index = 0; index < count; index++) {
      const at = table + index * size;
      if (u32(at) !== PT_INTERP) continue;
      const start = word(at + (wide ? 8 : 4));
      const length = Math.min(word(at + (wide ? 32 : 16)), LOADER_BYTES_MAX);
      const loader = head.toString("utf8", start, start + length).replace(/\0.*$/s, "");
      if (loader !== "") return { ...program, loader };
    }
  } catch {
    // Headers beyond what was read, or of no sense: its machine is known all the same.
  }
  return program;
}
