// Debian's kernels and single programs, unpacked into a cache and never installed. The mirror is
// the one that this machine's apt is set up with, asked for other suites through an apt
// configuration of its own; a suite is looked up once and is its folder in the cache from then on.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export const run = promisify(execFile);
export const cache = join(
  process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
  "gantry",
  "vm",
);
const KEY = "/usr/share/keyrings/debian-archive-keyring.gpg";

export interface Kernel {
  /** vmlinuz. */
  image: string;
  /** The folder that is /lib/modules in the machine. */
  modules: string;
  version: string;
}

/** As Debian calls them. */
export type Architecture = "amd64" | "arm64";

/** The kernel of a suite ("bookworm"), or the package of that name in this machine's own apt.
 * `flavour`: "16k", of arm64. */
export async function fetchKernel(
  name: string,
  arch: Architecture = "amd64",
  flavour = "",
): Promise<Kernel> {
  const meta = ["linux-image", arch, ...(flavour ? [flavour] : [])].join("-");
  const folder = join(cache, arch === "amd64" ? name : `${name}-${meta}`);
  if (!existsSync(folder)) await unpackKernel(name, meta, arch, folder);
  const modules = join(folder, "lib/modules");
  const version = (await readdir(modules))[0]!;
  return { image: join(folder, "boot", `vmlinuz-${version}`), modules, version };
}

async function unpackKernel(
  name: string,
  meta: string,
  arch: Architecture,
  folder: string,
): Promise<void> {
  const own = name.startsWith("linux-image-");
  await fetch(folder, async (apt) => {
    if (!own) await apt.use(name, arch);
    return [await apt.image(own ? name : meta)];
  });
}

/** The unpacked tree of a package of bookworm, for a program that only the guest uses. */
export const fetchPackage = (name: string): Promise<string> =>
  fetchPackages(name, "bookworm", [name]);

/** The unpacked trees of packages of a suite in one folder of the cache. */
export async function fetchPackages(
  name: string,
  suite: string,
  packages: string[],
): Promise<string> {
  const folder = join(cache, name);
  if (!existsSync(folder)) {
    await fetch(folder, async (apt) => {
      await apt.use(suite);
      return packages;
    });
  }
  return folder;
}

/** apt in a folder of its own, so that nothing of the machine's is changed. */
export class Apt {
  readonly #folder: string;
  #options: string[] = [];
  /** The .deb files. */
  readonly archives: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.archives = join(folder, "archives");
  }

  async use(suite: string, arch: Architecture = "amd64"): Promise<void> {
    const format = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"];
    const { stdout } = await run("apt-get", [...format, "Component: main"]);
    const site = stdout.split("\n").find((uri) => /debian\/?$/.test(uri));
    if (site === undefined) throw new Error("This machine's apt knows no mirror of Debian");
    for (const name of ["lists/partial", "archives/partial"]) {
      await mkdir(join(this.#folder, name), { recursive: true });
    }
    const list = join(this.#folder, "sources.list");
    await writeFile(list, `deb [signed-by=${KEY}] ${site} ${suite} main\n`);
    const status = join(this.#folder, "status");
    await writeFile(status, "");
    const settings = {
      "APT::Architecture": arch,
      "APT::Architectures": arch,
      "APT::Install-Recommends": "false",
      // Nothing is installed: all that a package needs is fetched with it.
      "Dir::State::status": status,
      "Dir::State": this.#folder,
      "Dir::Etc::SourceList": list,
      "Dir::Etc::SourceParts": "/dev/null",
      "Dir::State::Lists": join(this.#folder, "lists"),
      "Dir::Cache::Archives": this.archives,
      "Dir::Cache::pkgcache": "",
      "Dir::Cache::srcpkgcache": "",
      "Acquire::Languages": "none",
      "APT::Sandbox::User": "root",
    };
    this.#options = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
    await run("apt-get", [...this.#options, "update"]);
  }

  /** The package with the kernel that a meta package stands for. */
  async image(name: string): Promise<string> {
    const { stdout } = await run("apt-cache", [...this.#options, "depends", "--important", name]);
    return /Depends: (linux-image-\S+)/.exec(stdout)?.[1] ?? name;
  }

  async download(names: string[]): Promise<void> {
    await mkdir(this.archives, { recursive: true });
    await run("apt-get", [...this.#options, "download", ...names], { cwd: this.archives });
  }

  async downloadWhole(names: string[]): Promise<void> {
    const maxBuffer = 16 << 20;
    await run("apt-get", [...this.#options, "install", "-y", "--download-only", ...names], {
      maxBuffer,
    });
  }
}

async function fetch(folder: string, choose: (apt: Apt) => Promise<string[]>): Promise<void> {
  await intoCache(folder, async (scratch, tree) => {
    const apt = new Apt(scratch);
    await apt.download(await choose(apt));
    await unpackAll(apt.archives, tree);
    const modules = join(tree, "lib/modules");
    if (existsSync(modules)) {
      await run("/usr/sbin/depmod", ["-b", tree, (await readdir(modules))[0]!]);
    }
  });
}

/** A folder of the cache appears when it is whole. */
export async function intoCache(
  folder: string,
  make: (scratch: string, tree: string) => Promise<void>,
): Promise<void> {
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(join(cache, "fetch-"));
  try {
    const tree = join(scratch, "tree");
    await mkdir(tree);
    await make(scratch, tree);
    await rename(tree, folder);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Everything beneath /usr, as newer suites have it by themselves. */
export async function unpackAll(archives: string, tree: string): Promise<void> {
  for (const name of ["bin", "sbin", "lib"]) {
    await mkdir(join(tree, "usr", name), { recursive: true });
    await symlink(`usr/${name}`, join(tree, name));
  }
  const unpack = 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --keep-directory-symlink';
  for (const file of await readdir(archives)) {
    if (!file.endsWith(".deb")) continue;
    await run("sh", ["-c", unpack, "sh", join(archives, file), tree]);
  }
}
