// Boots Debian's kernel under qemu (TCG, no KVM needed) with the host's root file system shared
// read-only beneath a writable overlay, and runs one command in it: the tests' way to cgroup v2,
// to a second kernel version, and to modules that the host's kernel lacks. Nothing on the host is
// changed but a cache folder.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Architecture, fetchKernel, type Kernel, run } from "./debian.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
/** KVM where the machine has it: nothing of the tests needs it, but they are quicker. */
const ACCELERATOR = process.env["GANTRY_VM_ACCEL"] ?? "tcg,thread=multi";
/** Modules that must be there before the root file system is; the rest are loaded by modprobe. */
const BOOT_MODULES = ["virtio_pci", "9p", "9pnet_virtio", "overlay", "virtio_blk", "ext4"];
/** What ext4 asks for only when it mounts; newer kernels have it built in. */
const BOOT_MODULES_IF_ANY = ["crc32c_generic"];
/** Last words of init.c where no device tells qemu. */
const EXIT_LINE = /^vm init: exit (\d+)$/m;
const EXIT_CHARS_MAX = 1000;
/** Of the disk for what the tests write: sparse, and gone with the machine. */
const DISK_BYTES = 8 * 2 ** 30;
const KERNEL_PARAMETERS = ["quiet", "loglevel=3", "panic=-1", "random.trust_cpu=on"];

/** A kind of machine. */
interface Board {
  qemu: string;
  gcc: string;
  args: string[];
  console: string;
  tools: [tool: string, debianPackage: string][];
}
const BOARDS: Readonly<Record<Architecture, Board>> = {
  amd64: {
    qemu: "qemu-system-x86_64",
    gcc: "gcc",
    args: [
      ...["-accel", ACCELERATOR, "-cpu", "max"],
      ...["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"],
    ],
    console: "ttyS0",
    tools: [["/usr/bin/qemu-system-x86_64", "qemu-system-x86"]],
  },
  arm64: {
    qemu: "qemu-system-aarch64",
    gcc: "aarch64-linux-gnu-gcc",
    // A processor that has atomics, which are quick to emulate, but not what signs pointers.
    args: ["-accel", "tcg,thread=multi", "-machine", "virt", "-cpu", "neoverse-n1"],
    console: "ttyAMA0",
    tools: [
      ["/usr/bin/qemu-system-aarch64", "qemu-system-arm"],
      ["/usr/bin/aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"],
      ["/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross"],
    ],
  },
};

/** A folder of the host, and where it is in the machine. */
export interface Share {
  folder: string;
  target: string;
}

export type VmOptions = {
  /** Run by /bin/sh in the guest as root. */
  command: string;
  /** A suite of Debian, or a kernel's package. */
  kernel: string;
  arch?: Architecture;
  /** "16k": of arm64, a kernel with larger pages. */
  flavour?: string;
  /** The root file system, of the machine's kind; the host's by itself. */
  root?: string;
  shares?: Share[];
  /** More words for the kernel's command line. */
  parameters?: string[];
  memoryMiB?: number;
  deadlineMs?: number;
  onOutput: (text: string) => void;
};

/** Resolves with the command's exit code; throws when the machine itself fails or hangs. */
export async function bootVm(options: VmOptions): Promise<number> {
  const arch = options.arch ?? "amd64";
  const board = BOARDS[arch];
  await installTools(arch);
  const kernel = await fetchKernel(options.kernel, options.arch, options.flavour);
  const scratch = await mkdtemp(join(tmpdir(), "gantry-vm-"));
  try {
    const initramfs = await makeInitramfs(scratch, kernel, board, options);
    const disk = await makeDisk(join(scratch, "disk"));
    return await runQemu(kernel, board, { initramfs, disk }, options);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

export async function installTools(arch: Architecture): Promise<void> {
  const wanted: [tool: string, debianPackage: string][] = [
    ...BOARDS[arch].tools,
    ["/usr/sbin/depmod", "kmod"],
    ["/usr/bin/cpio", "cpio"],
    ["/usr/bin/bzip2", "bzip2"],
    // For the quotas in the guest.
    ["/usr/sbin/mkfs.xfs", "xfsprogs"],
    ["/usr/sbin/mkfs.ext4", "e2fsprogs"],
  ];
  const missing = wanted.filter(([tool]) => !existsSync(tool)).map(([, name]) => name);
  if (missing.length === 0) return;
  process.stderr.write(`vm: installing ${missing.join(", ")}\n`);
  const options = { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
  await run("apt-get", ["update"], options);
  await run("apt-get", ["install", "-y", "--no-install-recommends", ...missing], options);
}

async function makeInitramfs(
  scratch: string,
  kernel: Kernel,
  { gcc }: Board,
  { command, shares = [] }: VmOptions,
): Promise<string> {
  const tree = join(scratch, "tree");
  await mkdir(join(tree, "modules"), { recursive: true });
  for (const folder of ["lower", "upper", "root", "proc"]) await mkdir(join(tree, folder));
  await run(gcc, ["-O2", "-static", "-Wall", "-o", join(tree, "init"), join(here, "init.c")]);
  const files = await bootModules(kernel);
  for (const [index, file] of files.entries()) {
    const target = join(tree, "modules", `${String(index).padStart(2, "0")}.ko`);
    const unpack = file.endsWith(".xz") ? "xz -dc" : "cat";
    await run("sh", ["-c", `${unpack} "$1" > "$2"`, "sh", file, target]);
  }
  await writeFile(join(tree, "command"), command);
  const lines = shares.map(({ target }, index) => `${tagOf(index)} ${target}\n`);
  await writeFile(join(tree, "shares"), lines.join(""));
  const image = join(scratch, "initramfs");
  await run("sh", ["-c", `cd "$1" && find . | cpio -o -H newc --quiet > "$2"`, "sh", tree, image]);
  return image;
}

const tagOf = (index: number): string => `share${index}`;

/** No journal: a machine that ends takes its disk with it. */
async function makeDisk(path: string): Promise<string> {
  await writeFile(path, "");
  await truncate(path, DISK_BYTES);
  await run("/usr/sbin/mkfs.ext4", ["-q", "-O", "^has_journal", "-E", "lazy_itable_init=1", path]);
  return path;
}

async function bootModules({ modules, version }: Kernel): Promise<string[]> {
  const base = join(modules, "../..");
  const files: string[] = [];
  for (const name of [...BOOT_MODULES_IF_ANY, ...BOOT_MODULES]) {
    const args = ["-d", base, "-S", version, "--show-depends", name];
    const { stdout } = await run("/usr/sbin/modprobe", args).catch((error: unknown) => {
      if (BOOT_MODULES_IF_ANY.includes(name)) return { stdout: "" };
      throw error;
    });
    for (const [, file] of stdout.matchAll(/^insmod (\S+)/gm)) {
      if (!files.includes(file!)) files.push(file!);
    }
  }
  return files;
}

async function runQemu(
  kernel: Kernel,
  board: Board,
  { initramfs, disk }: { initramfs: string; disk: string },
  options: VmOptions,
): Promise<number> {
  const share = (tag: string, path: string) => [
    "-virtfs",
    `local,path=${path},mount_tag=${tag},security_model=none,readonly=on,multidevs=remap`,
  ];
  const words = [`console=${board.console}`, ...KERNEL_PARAMETERS, ...(options.parameters ?? [])];
  const args = [
    ...[...board.args, "-smp", "2"],
    ...["-m", String(options.memoryMiB ?? 3072), "-nographic", "-no-reboot", "-nodefaults"],
    ...["-serial", "stdio", "-kernel", kernel.image, "-initrd", initramfs],
    ...["-append", words.join(" ")],
    ...["-drive", `file=${disk},if=virtio,format=raw,cache=unsafe`],
    ...share("host", options.root ?? "/"),
    ...share("modules", kernel.modules),
    ...(options.shares ?? []).flatMap(({ folder }, index) => share(tagOf(index), folder)),
  ];
  const child = spawn(board.qemu, args, { stdio: ["ignore", "pipe", "inherit"] });
  const deadline = setTimeout(() => child.kill("SIGKILL"), options.deadlineMs ?? 900_000);
  child.stdout.setEncoding("utf8");
  let last = "";
  child.stdout.on("data", (raw: string) => {
    const text = raw.replaceAll("\r", "");
    last = (last + text).slice(-EXIT_CHARS_MAX);
    options.onOutput(text);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  clearTimeout(deadline);
  const told = EXIT_LINE.exec(last)?.[1];
  if (code === 0 && told !== undefined) return Number(told);
  // isa-debug-exit: an odd status is ours; anything else is qemu's own.
  if (code === null || code % 2 === 0) throw new Error(`The machine ended on its own: ${code}`);
  return code >> 1;
}
