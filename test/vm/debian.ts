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
const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "gantry", "vm");
const KEY = "/usr/share/keyrings/debian-archive-keyring.gpg";

export interface Kernel {
  /** vmlinuz. */
  image: string;
  /** The folder that is /lib/modules in the machine. */
  modules: string;
  version: string;
}

/** The kernel of a suite ("bookworm"), or the package of that name in this machine's own apt. */
export async function fetchKernel(name: string): Promise<Kernel> {
  const folder = join(cache, name);
  if (!existsSync(folder)) await unpackKernel(name, folder);
  const modules = join(folder, "lib/modules");
  const version = (await readdir(modules))[0]!;
  return { image: join(folder, "boot", `vmlinuz-${version}`), modules, version };
}

async function unpackKernel(name: string, folder: string): Promise<void> {
  const own = name.startsWith("linux-image-");
  await fetch(folder, async (apt) => {
    if (!own) await apt.use(name);
    return [await apt.image(own ? name : "linux-image-amd64")];
  });
}

/** The unpacked tree of a package of bookworm, for a program that only the guest uses. */
export async function fetchPackage(name: string): Promise<string> {
  const folder = join(cache, name);
  if (!existsSync(folder)) {
    await fetch(folder, async (apt) => {
      await apt.use("bookworm");
      return [name];
    });
  }
  return folder;
}

/** apt in a folder of its own, so that nothing of the machine's is changed. */
class Apt {
  readonly #folder: string;
  #options: string[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  async use(suite: string): Promise<void> {
    const format = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"];
    const { stdout } = await run("apt-get", [...format, "Component: main"]);
    const site = stdout.split("\n").find((uri) => /debian\/?$/.test(uri));
    if (site === undefined) throw new Error("This machine's apt knows no mirror of Debian");
    for (const name of ["lists/partial", "archives/partial"]) {
      await mkdir(join(this.#folder, name), { recursive: true });
    }
    const list = join(this.#folder, "sources.list");
    await writeFile(list, `deb [signed-by=${KEY}] ${site} ${suite} main\n`);
    const settings = {
      "Dir::Etc::SourceList": list,
      "Dir::Etc::SourceParts": "/dev/null",
      "Dir::State::Lists": join(this.#folder, "lists"),
      "Dir::Cache::Archives": join(this.#folder, "archives"),
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
    await run("apt-get", [...this.#options, "download", ...names], { cwd: this.#folder });
  }
}

async function fetch(folder: string, choose: (apt: Apt) => Promise<string[]>): Promise<void> {
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(join(cache, "fetch-"));
  try {
    const apt = new Apt(scratch);
    await apt.download(await choose(apt));
    const tree = join(scratch, "tree");
    for (const file of await readdir(scratch)) {
      if (file.endsWith(".deb")) await run("dpkg-deb", ["-x", join(scratch, file), tree]);
    }
    // Newer suites have everything beneath /usr.
    if (!existsSync(join(tree, "lib"))) await symlink("usr/lib", join(tree, "lib"));
    const modules = join(tree, "lib/modules");
    if (existsSync(modules)) {
      await run("/usr/sbin/depmod", ["-b", tree, (await readdir(modules))[0]!]);
    }
    await rename(tree, folder);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
