// What a source of ADD is: a path of the build context, a file behind a URL, or a git repository.
// Git URLs carry what to take in a fragment (#ref:folder) or in a query (?branch=…&subdir=…).

import { TextFault } from "./dockerfile-error.ts";
import { readBool } from "./flag-rules.ts";
import { didYouMean } from "./suggest.ts";

export interface GitSource {
  kind: "git";
  /** Without fragment and query. */
  remote: string;
  ref?: string;
  /** What `ref` must be; a ref of the other kind is not taken. */
  refKind?: "any" | "tag" | "branch";
  subdir?: string;
  /** A commit, or the beginning of one, that the ref must lead to. */
  checksum?: string;
  keepGitDir?: boolean;
  submodules?: boolean;
  mtime?: "checkout" | "commit";
  fetchByCommit?: boolean;
}
export interface HttpSource {
  kind: "http";
  url: string;
  /** The name of the file where the destination is a folder. */
  fileName: string;
}
export interface LocalSource {
  kind: "local";
  path: string;
}
export type AddSource = GitSource | HttpSource | LocalSource;

const SCP_LIKE = /^[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:(?!\/\/)/;
const QUERY_KEYS = [
  "ref",
  "tag",
  "branch",
  "commit",
  "checksum",
  "subdir",
  "keep-git-dir",
  "submodules",
  "mtime",
  "fetch-by-commit",
];

/** Says what a source is. Throws a TextFault on a git URL that asks for what is not known. */
export function addSource(text: string): AddSource {
  if (isGit(text)) return gitSource(text);
  if (!/^https?:\/\//.test(text)) return { kind: "local", path: text };
  return { kind: "http", url: text, fileName: fileNameOf(text) };
}

/** Also for build contexts: `docker build https://host/repo.git#ref:folder`. */
export function isGit(text: string): boolean {
  if (/^(?:git|ssh):\/\//.test(text) || SCP_LIKE.test(text)) return true;
  return /^https?:\/\/[^#?]+\.git\/?(?:[#?]|$)/.test(text);
}

function fileNameOf(text: string): string {
  let path: string;
  try {
    path = decodeURIComponent(new URL(text).pathname);
  } catch {
    return "__unnamed__";
  }
  const name = path.split("/").filter(Boolean).at(-1);
  return name === undefined || name === "." || name === ".." ? "__unnamed__" : name;
}

/** Reads a git URL's remote, fragment and query. */
export function gitSource(text: string): GitSource {
  const hash = text.indexOf("#");
  const fragment = hash < 0 ? "" : text.slice(hash + 1);
  const address = hash < 0 ? text : text.slice(0, hash);
  const question = address.indexOf("?");
  const source: GitSource = {
    kind: "git",
    remote: question < 0 ? address : address.slice(0, question),
  };
  if (question >= 0) readQuery(source, new URLSearchParams(address.slice(question + 1)), text);
  if (fragment !== "") {
    const colon = fragment.indexOf(":");
    const ref = colon < 0 ? fragment : fragment.slice(0, colon);
    const subdir = colon < 0 ? "" : fragment.slice(colon + 1);
    if (ref !== "") Object.assign(source, once(source.ref, ref, "ref", text) && { ref });
    if (subdir !== "")
      Object.assign(source, once(source.subdir, subdir, "subdir", text) && { subdir });
  }
  if (source.subdir?.split("/").includes("..")) {
    throw new TextFault(`git subdirectory ${JSON.stringify(source.subdir)} leads outside`);
  }
  return source;
}

function once(before: string | undefined, now: string, key: string, text: string): boolean {
  if (before !== undefined && before !== now) {
    throw new TextFault(`git URL ${JSON.stringify(text)} has two values for ${key}`);
  }
  return true;
}

function readQuery(source: GitSource, query: URLSearchParams, text: string): void {
  for (const [key, value] of query) {
    switch (key) {
      case "ref":
      case "tag":
      case "branch":
        once(source.ref, value, "ref", text);
        source.ref = value;
        source.refKind = key === "ref" ? "any" : key;
        break;
      case "commit":
      case "checksum":
        if (!/^[0-9a-f]{4,64}$/i.test(value)) {
          throw new TextFault(`invalid git commit ${JSON.stringify(value)} in ${key}`);
        }
        source.checksum = value.toLowerCase();
        break;
      case "subdir":
        source.subdir = value;
        break;
      case "keep-git-dir":
        source.keepGitDir = flag(key, value);
        break;
      case "submodules":
        source.submodules = flag(key, value);
        break;
      case "fetch-by-commit":
        source.fetchByCommit = flag(key, value);
        break;
      case "mtime":
        if (value !== "checkout" && value !== "commit") {
          throw new TextFault(`invalid value ${JSON.stringify(value)} for mtime in git URL`);
        }
        source.mtime = value;
        break;
      default: {
        const hint = didYouMean(key, QUERY_KEYS);
        throw new TextFault(`unexpected query ${JSON.stringify(key)} in git URL${hint}`);
      }
    }
  }
}

function flag(key: string, value: string): boolean {
  const found = value === "" ? true : readBool(value);
  if (found === undefined) throw new TextFault(`invalid value for ${key} in git URL: ${value}`);
  return found;
}
