// What a machine of another kind than the host's needs, since the host's programs are nothing to
// it: a Debian of its own (unpacked, never installed), the pinned Node and its packages as npm has
// them for such a machine, and the native programs, cross-compiled. All but the last are kept in
// the cache; the checkout is the host's.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { payloadProgram } from "../payload/payload.ts";
import { Apt, cache, intoCache, run, unpackAll } from "./debian.ts";

export const CROSS_GCC = "aarch64-linux-gnu-gcc";
const SUITE = "bookworm";
/** For the tests, and to compile the native program as a user of such a machine does. */
const PACKAGES = [
  ...[
    "base-files",
    "base-passwd",
    "bash",
    "dash",
    "coreutils",
    "util-linux",
    "mount",
    "procps",
    "psmisc",
  ],
  ...["iproute2", "iputils-ping", "nftables", "iptables", "kmod", "e2fsprogs", "xfsprogs"],
  ...[
    "gzip",
    "xz-utils",
    "tar",
    "findutils",
    "diffutils",
    "grep",
    "sed",
    "mawk",
    "hostname",
    "login",
    "passwd",
  ],

  ...["debianutils", "libc-bin", "netbase", "openssl", "git", "gcc", "libc6-dev"],
];
/** What the packages' scripts would have linked. */
const ALTERNATIVES = {
  "usr/bin/awk": "mawk",
  "usr/bin/which": "which.debianutils",
  "usr/sbin/iptables": "iptables-nft",
  "usr/sbin/ip6tables": "ip6tables-nft",
  "usr/sbin/iptables-restore": "iptables-nft-restore",
  "usr/sbin/iptables-save": "iptables-nft-save",
};

/** The root file system. */
export async function arm64Root(): Promise<string> {
  const wanted = createHash("sha256").update(JSON.stringify([PACKAGES, ALTERNATIVES]));
  const folder = join(cache, `${SUITE}-root-arm64-${wanted.digest("hex").slice(0, 16)}`);
  if (existsSync(folder)) return folder;
  await intoCache(folder, async (scratch, tree) => {
    const apt = new Apt(scratch);
    await apt.use(SUITE, "arm64");
    await apt.downloadWhole(PACKAGES);
    await unpackAll(apt.archives, tree);
    for (const name of ["passwd", "group"]) {
      await copyFile(
        join(tree, "usr/share/base-passwd", `${name}.master`),
        join(tree, "etc", name),
      );
    }
    for (const [path, target] of Object.entries(ALTERNATIVES)) {
      await symlink(target, join(tree, path));
    }
    await writeFile(join(tree, "etc/hosts"), "127.0.0.1 localhost gantry-vm\n::1 localhost\n");
    await writeFile(join(tree, "etc/hostname"), "gantry-vm\n");
    await writeFile(join(tree, "etc/resolv.conf"), "");
    for (const name of ["lib/modules", "dev", "proc", "sys", "run", "tmp", "var/tmp"]) {
      await mkdir(join(tree, name), { recursive: true });
    }
  });
  return folder;
}

/** The folder node_modules of the lock file on such a machine. */
export async function arm64Modules(root: string): Promise<string> {
  const files = ["package.json", "package-lock.json"];
  const hash = createHash("sha256");
  for (const name of files) hash.update(await readFile(join(root, name)));
  const folder = join(cache, `node-modules-arm64-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(folder)) return folder;
  await intoCache(folder, async (_scratch, tree) => {
    for (const name of files) await copyFile(join(root, name), join(tree, name));
    const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
    await run("npm", ["ci", "--os=linux", "--cpu=arm64", "--ignore-scripts", ...quiet], {
      cwd: tree,
    });
  });
  return folder;
}

/** Both folders that the checkout compiles into, as such a machine would have filled them; what is
 * JavaScript there is the host's. */
export async function arm64Built(root: string, scratch: string): Promise<[string, string]> {
  const programs = join(cache, "native-arm64");
  await run(process.execPath, ["tools/build-native.ts", "--cross", "arm64", programs], {
    cwd: root,
  });
  const [build, caches] = [join(scratch, "build"), join(scratch, "caches")];
  await mkdir(build);
  await mkdir(caches);
  const own = join(root, "native/build");
  for (const name of await readdir(own)) {
    if (/\.(cjs|mjs|js|inputs)$/.test(name)) {
      await cp(join(own, name), join(build, name), { recursive: true, preserveTimestamps: true });
    }
  }
  await cp(programs, build, { recursive: true });
  const payload = await payloadProgram({ arch: "arm64", gcc: CROSS_GCC });
  await cp(payload, join(caches, payload.slice(payload.lastIndexOf("/") + 1)));
  return [build, caches];
}
