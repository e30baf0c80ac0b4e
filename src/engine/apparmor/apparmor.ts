// AppArmor where the kernel has it: our default profile is loaded with apparmor_parser when the
// engine opens, and again where somebody has unloaded it since. Without the parser or securityfs
// there is no default, and one warning says so. The profile of another engine by the same name is
// left alone: only what this machine's Gantry has loaded is replaced.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { GantryError, type Logger, messageOf } from "../../base/index.ts";
import { DEFAULT_PROFILE, defaultProfile } from "./profile.ts";

const PROFILES = "/sys/kernel/security/apparmor/profiles";
const PARSER_DEADLINE_MS = 60_000;
/** Where administrators' programs are; a service's PATH may lack them. */
const SBIN = "/usr/local/sbin:/usr/sbin:/sbin";

export class AppArmor {
  readonly #note: string;
  readonly #log: Logger;
  #profile: string | undefined;

  private constructor(execRoot: string, log: Logger) {
    this.#note = join(execRoot, "apparmor-profile");
    this.#log = log;
  }

  /** `warn` hears why there is no default profile although the kernel has AppArmor. */
  static async open(
    { apparmor, execRoot }: { apparmor: boolean; execRoot: string },
    log: Logger,
    warn: (line: string) => void,
  ): Promise<AppArmor> {
    const result = new AppArmor(execRoot, log);
    // In a container the policy is the host's: dockerd goes by the same sign.
    if (!apparmor || process.env["container"]) return result;
    try {
      await result.#loadDefault(await profileText());
      result.#profile = DEFAULT_PROFILE;
    } catch (error) {
      const why = messageOf(error);
      log.warn("Containers run without an AppArmor profile", { error: why });
      warn(`WARNING: AppArmor is enabled, but its default profile could not be loaded: ${why}`);
    }
    return result;
  }

  /** The profile of containers that name none; undefined where they have none. */
  get profile(): string | undefined {
    return this.#profile;
  }

  /** Before a start or an exec with that profile: it is in the kernel, or an error says so. */
  async require(profile: string | undefined): Promise<void> {
    if (profile === undefined || profile === "unconfined") return;
    // Stacks and profiles of other namespaces: the kernel tells.
    if (/^:|\/\/&/.test(profile)) return;
    const loaded = await loadedProfiles();
    if (loaded === undefined || loaded.has(profile)) return;
    if (profile === this.#profile) {
      this.#log.info("The default AppArmor profile was unloaded: it is loaded again");
      return await this.#loadDefault(await profileText());
    }
    throw new GantryError("invalid", `AppArmor profile ${JSON.stringify(profile)} is not loaded`);
  }

  async #loadDefault(text: string): Promise<void> {
    const loaded = await loadedProfiles();
    if (loaded === undefined) {
      throw new GantryError("unavailable", `${PROFILES} cannot be read: is securityfs mounted?`);
    }
    const digest = createHash("sha256").update(text).digest("hex");
    const ours = await readFile(this.#note, "utf8").catch(() => undefined);
    if (loaded.has(DEFAULT_PROFILE) && (ours === undefined || ours === digest)) return;
    await runParser(text);
    await mkdir(dirname(this.#note), { recursive: true });
    await writeFile(this.#note, digest);
  }
}

async function profileText(): Promise<string> {
  // "NAME (enforce)", or the name alone.
  const label = await readFile("/proc/self/attr/current", "latin1").catch(() => "");
  return defaultProfile(label.replace(/ \(\w+\)\s*$|[\s\0]+$/, "") || "unconfined");
}

async function loadedProfiles(): Promise<Set<string> | undefined> {
  const text = await readFile(PROFILES, "utf8").catch(() => undefined);
  return text === undefined ? undefined : namesOf(text);
}

/** "name (mode)" lines. */
export function namesOf(text: string): Set<string> {
  const names = text.split("\n").map((line) => line.replace(/ \(\w+\)$/, ""));
  return new Set(names.filter((name) => name !== ""));
}

function runParser(text: string): Promise<void> {
  const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:${SBIN}` };
  return new Promise((resolve, reject) => {
    const args = ["--replace", "--skip-cache"];
    const child = execFile(
      "apparmor_parser",
      args,
      { env, timeout: PARSER_DEADLINE_MS },
      (error, _stdout, stderr) => {
        if (!error) return resolve();
        const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
        const why = missing ? "apparmor_parser is not installed" : stderr.trim() || error.message;
        reject(new GantryError("unavailable", why, { cause: error }));
      },
    );
    child.stdin?.on("error", () => {}); // it has ended: its exit says why
    child.stdin?.end(text);
  });
}
