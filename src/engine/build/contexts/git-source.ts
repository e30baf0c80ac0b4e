// A git repository as a context or a source of ADD. Bare repositories are kept between builds, so
// that only new commits are fetched, and of those only one each; the wanted tree is checked out
// into the build's own folder by git, and read from there by the native program, which no link
// leads out.

import { existsSync } from "node:fs";
import { chmod, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError } from "../../../base/index.ts";
import type { GitSource } from "../../../build/index.ts";
import { digestOf, hexOf } from "../../../spec/index.ts";
import type { RootSource } from "../../../storage/index.ts";
import type { EngineContext } from "../../context.ts";
import type { Material } from "../job.ts";
import { RootSourceFiles } from "../root-source.ts";
import type { Workspace } from "../workspace.ts";
import { followMoves, type GitAccess, type GitSecrets, gitAccess } from "./git-access.ts";
import { git } from "./git-program.ts";
import type { IndexedContext } from "./index-files.ts";
import { indexOf } from "./scan-tree.ts";
import type { ContextStore } from "./store.ts";
import { newPack } from "./stream-context.ts";

export interface GitPlace extends GitSecrets {
  engine: EngineContext;
  workspace: Workspace;
  store: ContextStore;
}
export interface GitTree extends IndexedContext {
  commit: string;
  material: Material;
}

const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
const PART_OF_COMMIT = /^[0-9a-f]{4,64}$/i;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** Fetches and checks out. Throws invalid when there is no such ref, commit or folder. */
export async function gitTree(
  place: GitPlace,
  source: GitSource,
  { signal }: { signal: AbortSignal },
): Promise<GitTree> {
  const { engine, workspace, store } = place;
  const shown = withoutUser(source.remote);
  const taken = await store.takeFolder("source.git.checkout", [shown], `git repository ${shown}`);
  try {
    return await taken.exclusive(signal, async () => {
      const folder = await workspace.scratch();
      await chmod(folder, 0o700);
      const knownHosts = join(taken.dir, "known-hosts");
      await using access = await gitAccess(source.remote, place, { folder, knownHosts, signal });
      await followMoves(access, engine, signal);
      const way = throughProxies(engine, access);
      const repository = new Repository(join(taken.dir, "repo"), way, signal);
      const { commit, ref } = await repository.fetch(source);
      const tree = await workspace.scratch();
      const mtimeNs = await repository.checkOut(commit, tree, source);
      const indexed = await readTree(place, tree, { source, commit, mtimeNs, signal });
      const uri = ref === "" ? shown : `${shown}#${ref}`;
      const algorithm = commit.length === 64 ? "sha256" : "sha1";
      return { ...indexed, commit, material: { uri, digest: { [algorithm]: commit } } };
    });
  } finally {
    const size = await engine.files.size(taken.dir).catch(() => ({ bytes: 0 }));
    await taken.release(size.bytes);
  }
}

type Way = Pick<GitAccess, "remote" | "config" | "env">;

/** The daemon's proxies, for its submodules, too. What git makes of NO_PROXY is not all that Go
 * does, so for the repository's own host it is told. */
export function throughProxies(
  { registries }: Pick<EngineContext, "registries">,
  { remote, config, env }: Way,
): Way {
  const { httpProxy, httpsProxy, noProxy } = registries.describe().proxies;
  if (httpProxy === "" && httpsProxy === "") return { remote, config, env };
  const direct = ["localhost", "127.0.0.0/8", "::1", ...(noProxy === "" ? [] : [noProxy])];
  const proxies = {
    ...(httpProxy !== "" && { http_proxy: ofCurl(httpProxy) }),
    ...(httpsProxy !== "" && { https_proxy: ofCurl(httpsProxy) }),
    no_proxy: direct.join(","),
  };
  const url = /^https?:\/\//.test(remote) ? new URL(remote) : undefined;
  const own = url && {
    [`http.${url.origin}/.proxy`]: ofCurl(registries.proxyFor(url)?.href ?? ""),
  };
  return { remote, config: { ...config, ...own }, env: { ...proxies, ...env } };
}

/** curl's socks5:// looks names up here, Go's leaves that to the proxy. */
const ofCurl = (proxy: string): string => proxy.replace(/^socks5:/i, "socks5h:");

export const withoutUser = (address: string): string =>
  address.replace(/^(\w+:\/\/)[^/?#]*@/, (whole, scheme) => (scheme === "ssh://" ? whole : scheme));

class Repository {
  readonly #dir: string;
  readonly #access: Way;
  readonly #signal: AbortSignal;

  constructor(dir: string, access: Way, signal: AbortSignal) {
    this.#dir = dir;
    this.#access = access;
    this.#signal = signal;
  }

  #git(args: readonly string[], o: { cwd?: string; env?: Record<string, string> } = {}) {
    const { config, env } = this.#access;
    const options = { ...o, signal: this.#signal, config, env: { ...env, ...o.env } };
    return git(args, options);
  }

  /** The commit that is wanted, and the full name of the ref that led to it. */
  async fetch(source: GitSource): Promise<{ commit: string; ref: string }> {
    if (!existsSync(join(this.#dir, "HEAD"))) {
      await rm(this.#dir, { recursive: true, force: true });
      await this.#git(["init", "--quiet", "--bare", "--template=", "--", this.#dir]);
    }
    const { ref = "", checksum } = source;
    const wanted = await this.#resolve(ref, source.refKind);
    if (!(await this.#has(wanted.commit))) await this.#get(wanted, source);
    const commit = (await this.#git(["rev-parse", `${wanted.commit}^{commit}`], this.#here)).trim();
    if (checksum !== undefined && !commit.startsWith(checksum.toLowerCase())) {
      const message = `expected checksum to match ${checksum}, got ${commit}`;
      throw new GantryError("invalid", message);
    }
    return { commit, ref: wanted.ref };
  }

  get #here() {
    return { cwd: this.#dir };
  }

  async #has(commit: string): Promise<boolean> {
    return await this.#git(["cat-file", "-e", `${commit}^{tree}`], this.#here).then(
      () => true,
      () => {
        this.#signal.throwIfAborted();
        return false;
      },
    );
  }

  /** A branch goes before a tag, as in `git checkout`, and both before a commit's beginning. */
  async #resolve(
    name: string,
    kind: GitSource["refKind"] = "any",
  ): Promise<{ commit: string; ref: string }> {
    if (COMMIT.test(name)) return { commit: name.toLowerCase(), ref: name };
    checkRef(name);
    const patterns = name === "" ? ["HEAD"] : [name, `${name}^{}`];
    const { remote } = this.#access;
    const listed = await this.#git(["ls-remote", "--quiet", "--", remote, ...patterns]);
    const refs = new Map<string, string>();
    for (const line of listed.split("\n")) {
      const [commit, ref] = line.split("\t");
      if (commit && ref && COMMIT.test(commit)) refs.set(ref, commit);
    }
    const candidates =
      name === ""
        ? ["HEAD"]
        : [
            ...(kind === "tag" ? [] : [`refs/heads/${name}`]),
            ...(kind === "branch" ? [] : [`refs/tags/${name}`]),
            ...(kind === "any" ? [name, `refs/${name}`] : []),
          ];
    for (const ref of candidates) {
      const commit = refs.get(`${ref}^{}`) ?? refs.get(ref);
      if (commit !== undefined) return { commit, ref: name === "" ? "" : ref };
    }
    if (kind === "any" && PART_OF_COMMIT.test(name)) {
      return { commit: await this.#fromBeginning(name), ref: name };
    }
    const what = name === "" ? "a default branch" : `the ref ${JSON.stringify(name)}`;
    throw new GantryError("invalid", `failed to load git repository: it does not have ${what}`);
  }

  /** Only with every commit here can a beginning be told apart. */
  async #fromBeginning(name: string): Promise<string> {
    await this.#everything();
    const found = await this.#git(["rev-parse", "--verify", `${name}^{commit}`], this.#here).catch(
      (error) => {
        this.#signal.throwIfAborted();
        const message = `failed to load git repository: it does not have the ref or commit ${name}`;
        throw new GantryError("invalid", message, { cause: error });
      },
    );
    return found.trim();
  }

  async #get(wanted: { commit: string; ref: string }, source: GitSource): Promise<void> {
    const fetch = ["fetch", "--quiet", "--no-tags", "--force"];
    const keep = `refs/gantry/${wanted.commit}`;
    const { remote } = this.#access;
    const byName = !COMMIT.test(wanted.ref) && !PART_OF_COMMIT.test(wanted.ref);
    const what = byName && !source.fetchByCommit ? wanted.ref || "HEAD" : wanted.commit;
    try {
      await this.#git([...fetch, "--depth=1", "--", remote, `${what}:${keep}`], this.#here);
      if (await this.#has(wanted.commit)) return;
    } catch (error) {
      this.#signal.throwIfAborted();
      if (byName) throw error;
    }
    // The server gives no single commits, or the ref has moved on.
    await this.#everything();
    if (await this.#has(wanted.commit)) return;
    const message = `failed to load git repository: it does not have the commit ${wanted.commit}`;
    throw new GantryError("invalid", message);
  }

  async #everything(): Promise<void> {
    const isShallow = existsSync(join(this.#dir, "shallow"));
    const refs = ["+refs/heads/*:refs/remotes/heads/*", "+refs/tags/*:refs/remotes/tags/*"];
    const { remote } = this.#access;
    const depth = isShallow ? ["--unshallow"] : [];
    const args = ["fetch", "--quiet", "--no-tags", ...depth, "--", remote, ...refs];
    await this.#git(args, this.#here);
  }

  /** Real files, as git makes them of the commit, with its submodules. Returns the time that all of
   * them are to have, if one was asked for. */
  async checkOut(commit: string, to: string, source: GitSource): Promise<bigint | undefined> {
    const { submodules = true } = source;
    const { remote } = this.#access;
    const own = { cwd: to };
    await this.#git(["init", "--quiet", "--template=", "--", to]);
    const local = { GIT_ALLOW_PROTOCOL: "file" };
    const here = `file://${this.#dir}`;
    await this.#git(["update-ref", `refs/gantry/${commit}`, commit], this.#here);
    const fetch = ["fetch", "--quiet", "--no-tags", "--depth=1", "--", here];
    await this.#git([...fetch, `refs/gantry/${commit}`], { ...own, env: local });
    await this.#git(["checkout", "--quiet", "--force", "--detach", commit], own);
    await this.#git(["config", "remote.origin.url", withoutUser(source.remote)], own);
    if (submodules && existsSync(join(to, ".gitmodules"))) {
      await this.#git(["config", "remote.origin.url", remote], own);
      const update = ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"];
      await this.#git(update, own);
      await this.#git(["config", "remote.origin.url", withoutUser(source.remote)], own);
    }
    await rm(join(to, ".git", "FETCH_HEAD"), { force: true });
    if (source.mtime !== "commit") return undefined;
    const seconds = await this.#git(["show", "--no-patch", "--format=%ct", commit], own);
    return BigInt(seconds.trim()) * 1_000_000_000n;
  }
}

/** What git might take for an option or a pattern. */
function checkRef(name: string): void {
  if (!/^[-\s]|[\0-\x20~^:?*[\\]|\.\.|@\{/.test(name)) return;
  throw new GantryError("invalid", `invalid git ref: ${JSON.stringify(name)}`);
}

interface TreeFacts {
  source: GitSource;
  commit: string;
  mtimeNs: bigint | undefined;
  signal: AbortSignal;
}

async function readTree(
  { engine, workspace }: GitPlace,
  path: string,
  { source, commit, mtimeNs, signal }: TreeFacts,
): Promise<IndexedContext> {
  const { subdir = "", keepGitDir } = source;
  const root: RootSource = { kind: "mount", rootfs: { kind: "bind", path } };
  const at = `/${subdir}`;
  const stat = await engine.files.stat(root, at, { follow: true, signal }).catch((error) => {
    if (!["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) throw error;
    throw new GantryError("invalid", `the git repository has no folder ${subdir}`, {
      cause: error,
    });
  });
  if ((stat.mode & S_IFMT) !== S_IFDIR) {
    throw new GantryError("invalid", `${subdir} is no folder of the git repository`);
  }
  const pack = await newPack(workspace);
  const inGit = (name: string) => name.split("/").includes(".git");
  const tree = await indexOf(new RootSourceFiles(engine.files, root), pack, {
    ...{ signal, path: stat.resolved || at, owner: { uid: 0, gid: 0 } },
    ...(!keepGitDir && { drops: inGit }),
    mode: gitMode,
  });
  await workspace.remove(path);
  for (const [name, node] of tree.walk(tree.root)) {
    if (mtimeNs !== undefined) node.mtimeNs = mtimeNs;
    // These hold times and inodes of this very checkout: they count by what they stand for.
    if (/(?:^|\/)\.git\/(?:.*\/)?(?:index|logs\/.*)$/.test(name) && node.type === "0") {
      node.digest = hexOf(digestOf(`${commit} ${name}`));
    }
  }
  return { tree, pack };
}

/** git knows of a file only whether it is executable: the daemon's mask is nobody's business. */
function gitMode(type: string, mode: number): number {
  return type === "5" || (type === "0" && (mode & 0o100) !== 0) ? 0o755 : 0o644;
}
