// The host's programs that make and grow file systems inside a file. They are run rarely (never for
// a container without a limit), with nothing of the environment, and only on files of ours.

import { execFile } from "node:child_process";
import { access, constants, rename, truncate } from "node:fs/promises";
import { promisify } from "node:util";
import { errnoOf, GantryError, messageOf } from "../base/index.ts";

const run = promisify(execFile);
const FOLDERS = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];
const TOOL_DEADLINE_MS = 120_000;
const ASIDE = ".growing";
const MIB = 1 << 20;

interface Maker {
  fstype: string;
  program: string;
  bytesMin: number;
  arguments: (image: string) => string[];
}
const MAKERS: readonly Maker[] = [
  {
    fstype: "ext4",
    program: "mkfs.ext4",
    bytesMin: 8 * MIB,
    // The tables are written when they are used, so that the file stays sparse.
    arguments: (image) => [
      ...["-q", "-F", "-m", "0", "-O", "64bit"],
      ...["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0", image],
    ],
  },
  {
    fstype: "btrfs",
    program: "mkfs.btrfs",
    bytesMin: 114 * MIB,
    arguments: (image) => ["-q", "-f", "-K", "-m", "single", image],
  },
  {
    fstype: "xfs",
    program: "mkfs.xfs",
    bytesMin: 300 * MIB,
    arguments: (image) => ["-q", "-f", "-K", image],
  },
];

/** Makes a file system of the image's whole size; returns its type. */
export async function makeFileSystem(image: string, bytes: number): Promise<string> {
  for (const { fstype, program, bytesMin, arguments: args } of MAKERS) {
    const path = bytes >= bytesMin ? await find(program) : undefined;
    if (path === undefined) continue;
    await runTool(path, args(image));
    return fstype;
  }
  throw new GantryError(
    "not-implemented",
    "a size limit needs a file system with project quotas (XFS or ext4, mounted with prjquota) " +
      "or a program that makes file systems: install e2fsprogs (mkfs.ext4)",
  );
}

/** Grows an ext4 image that nobody has mounted. Meanwhile it has another name, so that nobody can
 * mount it; recoverImage() gives it its own back after a crash. */
export async function growOffline(image: string, bytes: number): Promise<void> {
  const [check, grow] = [await find("e2fsck"), await find("resize2fs")];
  if (!check || !grow) {
    const message = "to grow an image without CAP_SYS_RESOURCE takes e2fsprogs: install it";
    throw new GantryError("not-implemented", message);
  }
  const aside = `${image}${ASIDE}`;
  await rename(image, aside);
  try {
    await truncate(aside, bytes);
    await runTool(check, ["-f", "-p", aside]);
    await runTool(grow, [aside]);
  } finally {
    await rename(aside, image);
  }
}

/** At boot: a daemon that was killed while it let an image grow. */
export async function recoverImage(image: string): Promise<void> {
  await rename(`${image}${ASIDE}`, image).catch((error: unknown) => {
    if (errnoOf(error) !== "ENOENT") throw error;
  });
}

async function find(program: string): Promise<string | undefined> {
  for (const folder of FOLDERS) {
    const path = `${folder}/${program}`;
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

async function runTool(path: string, args: string[]): Promise<void> {
  try {
    const env = { PATH: FOLDERS.join(":"), LC_ALL: "C" };
    await run(path, args, { env, timeout: TOOL_DEADLINE_MS });
  } catch (cause) {
    const { code, stderr } = cause as { code?: unknown; stderr?: string };
    // e2fsck: 1 says that it has corrected something.
    if (path.endsWith("e2fsck") && code === 1) return;
    const why = stderr?.trim().split("\n").at(-1) || messageOf(cause);
    throw new GantryError("internal", `${path}: ${why}`, { cause });
  }
}
