// The git program, run for repositories of strangers: nothing of the host's or the user's
// configuration, no hooks, no prompts, only protocols of the network, credentials in the
// environment of the one process that needs them. What it says is kept for the error; it ends with
// the build.

import { spawn } from "node:child_process";
import { GantryError } from "../../../base/index.ts";

const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
const WORDS_MAX = 2000;

export interface GitOptions {
  signal: AbortSignal;
  cwd?: string;
  /** Configuration for this run alone: name → value. */
  config?: Readonly<Record<string, string>>;
  env?: Readonly<Record<string, string>>;
}

/** Protocols that a repository may be fetched by, submodules included; no paths of the host. */
const PROTOCOLS = "https:http:ssh:git";

const SAFE_CONFIG: Readonly<Record<string, string>> = {
  "core.hooksPath": "/dev/null",
  "core.fsmonitor": "false",
  "core.symlinks": "true",
  "core.protectHFS": "true",
  "core.protectNTFS": "true",
  "core.attributesFile": "/dev/null",
  "core.excludesFile": "/dev/null",
  "credential.helper": "",
  "gc.auto": "0",
  "pack.threads": "1", // the same pack each time
  "maintenance.auto": "false",
  "fetch.recurseSubmodules": "false",
  "submodule.recurse": "false",
  "init.defaultBranch": "main",
  "safe.directory": "*",
  "advice.detachedHead": "false",
};

/** Its own children (ssh, remote helpers) are of its group, and all of them end with this process:
 * a daemon that was killed closes the pipe, and who reads there ends the group. */
const ENDS_WITH_US =
  'exec 3<&0; (read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 & exec git "$@" </dev/null 3<&-';
const NOT_FOUND = 127;

/** Runs it and returns what it wrote. Throws invalid with its own words. */
export async function git(
  args: readonly string[],
  { signal, cwd = "/", config = {}, env = {} }: GitOptions,
): Promise<string> {
  signal.throwIfAborted();
  const child = spawn("/bin/sh", ["-c", ENDS_WITH_US, "git", ...args], {
    ...{ cwd, detached: true, stdio: ["pipe", "pipe", "pipe"] },
    env: {
      PATH: process.env["PATH"] ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      ...{ HOME: "/nonexistent", LC_ALL: "C", GIT_TERMINAL_PROMPT: "0", GIT_ASKPASS: "/bin/false" },
      ...{ GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null", GIT_ATTR_NOSYSTEM: "1" },
      ...{ GIT_ALLOW_PROTOCOL: PROTOCOLS, GIT_PROTOCOL_FROM_USER: "0", GIT_LFS_SKIP_SMUDGE: "1" },
      ...configEnv({ ...SAFE_CONFIG, ...config }),
      ...env,
    },
  });
  const exit = ended(child);
  exit.catch(() => {}); // it may have failed before anybody waits
  const stop = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  };
  signal.addEventListener("abort", stop, { once: true });
  const out: Buffer[] = [];
  let size = 0;
  child.stdout?.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > OUTPUT_BYTES_MAX) stop();
    else out.push(chunk);
  });
  let words = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-WORDS_MAX);
  });
  try {
    const code = await exit;
    signal.throwIfAborted();
    if (size > OUTPUT_BYTES_MAX) throw new GantryError("exhausted", "git said too much");
    if (code === NOT_FOUND) throw missing();
    if (code !== 0) throw failed(args, words, code);
    return Buffer.concat(out).toString();
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function ended(child: ReturnType<typeof spawn>): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
}

function missing(): GantryError {
  return new GantryError(
    "unavailable",
    "git is not installed where the daemon runs: install git, or give the context as a folder " +
      "or a tar",
  );
}

/** So given, it stands in no list of processes. */
function configEnv(config: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(config);
  const env: Record<string, string> = { GIT_CONFIG_COUNT: String(entries.length) };
  for (const [at, [key, value]] of entries.entries()) {
    env[`GIT_CONFIG_KEY_${at}`] = key;
    env[`GIT_CONFIG_VALUE_${at}`] = value;
  }
  return env;
}

function failed(args: readonly string[], words: string, code: number | null): GantryError {
  const said = words.trim() || `git ${args[0]} ended with code ${code}`;
  const hint = /could not read Username|Authentication failed|terminal prompts disabled/.test(said)
    ? ": give a secret GIT_AUTH_TOKEN for a private repository"
    : /cannot run ssh|ssh: not found/.test(said)
      ? ": ssh is not installed where the daemon runs"
      : /Permission denied \(publickey/.test(said)
        ? ": give the build an ssh agent (--ssh default)"
        : /returned error: 30\d/.test(said)
          ? ": it has moved, and credentials are not sent on: give its new address"
          : "";
  const text = said.replace(/(\w+:\/\/)[^/\s]*@/g, "$1");
  return new GantryError("invalid", `failed to load git repository: ${text}${hint}`);
}
