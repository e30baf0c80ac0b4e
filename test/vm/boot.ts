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
import { fetchKernel, type Kernel, run } from "./debian.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
/** KVM where the machine has it: nothing of the tests needs it, but they are quicker. */
const ACCELERATOR = process.env["GANTRY_VM_ACCEL"] ?? "tcg,thread=multi";
/** Modules that must be there before the root file system is; the rest are loaded by modprobe. */
const BOOT_MODULES = ["virtio_pci", "9p", "9pnet_virtio", "overlay", "virtio_blk", "ext4"];
/** What ext4 asks for only when it mounts; newer kernels have it built in. */
const BOOT_MODULES_IF_ANY = ["crc32c_generic"];
/** Of the disk for what the tests write: sparse, and gone with the machine. */
const DISK_BYTES = 8 * 2 ** 30;
const KERNEL_PARAMETERS = [
  ...["console=ttyS0", "quiet", "loglevel=3", "panic=-1", "random.trust_cpu=on"],
];

export type VmOptions = {
  /** Run by /bin/sh in the guest as root. */
  command: string;
  /** A suite of Debian, or a kernel's package. */
  kernel: string;
  /** More words for the kernel's command line. */
  parameters?: string[];
  memoryMiB?: number;
  deadlineMs?: number;
  onOutput: (text: string) => void;
};

/** Resolves with the command's exit code; throws when the machine itself fails or hangs. */
export async function bootVm(options: VmOptions): Promise<number> {
  await installTools();
  const kernel = await fetchKernel(options.kernel);
  const scratch = await mkdtemp(join(tmpdir(), "gantry-vm-"));
  try {
    const initramfs = await makeInitramfs(scratch, kernel, options.command);
    const disk = await makeDisk(join(scratch, "disk"));
    return await runQemu(kernel, { initramfs, disk }, options);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function installTools(): Promise<void> {
  const wanted: [tool: string, debianPackage: string][] = [
    ["/usr/bin/qemu-system-x86_64", "qemu-system-x86"],
    ["/usr/sbin/depmod", "kmod"],
    ["/usr/bin/cpio", "cpio"],
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

async function makeInitramfs(scratch: string, kernel: Kernel, command: string): Promise<string> {
  const tree = join(scratch, "tree");
  await mkdir(join(tree, "modules"), { recursive: true });
  for (const folder of ["lower", "upper", "root", "proc"]) await mkdir(join(tree, folder));
  await run("gcc", ["-O2", "-static", "-Wall", "-o", join(tree, "init"), join(here, "init.c")]);
  const files = await bootModules(kernel);
  for (const [index, file] of files.entries()) {
    const target = join(tree, "modules", `${String(index).padStart(2, "0")}.ko`);
    const unpack = file.endsWith(".xz") ? "xz -dc" : "cat";
    await run("sh", ["-c", `${unpack} "$1" > "$2"`, "sh", file, target]);
  }
  await writeFile(join(tree, "command"), command);
  const image = join(scratch, "initramfs");
  await run("sh", ["-c", `cd "$1" && find . | cpio -o -H newc --quiet > "$2"`, "sh", tree, image]);
  return image;
}

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
  { initramfs, disk }: { initramfs: string; disk: string },
  options: VmOptions,
): Promise<number> {
  const share = (tag: string, path: string) => [
    "-virtfs",
    `local,path=${path},mount_tag=${tag},security_model=none,readonly=on,multidevs=remap`,
  ];
  const args = [
    ...["-accel", ACCELERATOR, "-cpu", "max", "-smp", "2"],
    ...["-m", String(options.memoryMiB ?? 3072), "-nographic", "-no-reboot", "-nodefaults"],
    ...["-serial", "stdio", "-kernel", kernel.image, "-initrd", initramfs],
    ...["-append", [...KERNEL_PARAMETERS, ...(options.parameters ?? [])].join(" ")],
    ...["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"],
    ...["-drive", `file=${disk},if=virtio,format=raw,cache=unsafe`],
    ...share("host", "/"),
    ...share("modules", kernel.modules),
  ];
  const child = spawn("qemu-system-x86_64", args, { stdio: ["ignore", "pipe", "inherit"] });
  const deadline = setTimeout(() => child.kill("SIGKILL"), options.deadlineMs ?? 900_000);
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => options.onOutput(text.replaceAll("\r", "")));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  clearTimeout(deadline);
  // isa-debug-exit: an odd status is ours; anything else is qemu's own.
  if (code === null || code % 2 === 0) throw new Error(`The machine ended on its own: ${code}`);
  return code >> 1;
}
