// Flags and daemon.json to checked settings, at the start and at each SIGHUP. What is wrong with
// the two together is told with the file's name, as dockerd tells it.

import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { GantryError, messageOf } from "../base/index.ts";
import { type Config, loadConfig, openFailure, withFile } from "./config.ts";
import type { Program } from "./program.ts";
import { type Settings, toSettings } from "./settings.ts";

/** `settings` is absent where only help or the version was asked for. Throws invalid. */
export async function loadSettings(
  argv: readonly string[],
  about: Pick<Program, "version" | "buildId"> & Partial<Program>,
): Promise<{ config: Config; settings: Settings | undefined }> {
  const config = await loadConfig(argv);
  if (config.showHelp || config.showVersion) return { config, settings: undefined };
  const settings = checked(config, about);
  const { seccompProfile, engine } = settings;
  const security = engine.defaults.security;
  if (security !== undefined) {
    security.seccompName = seccompProfile;
    if (seccompProfile !== "builtin") security.seccomp = await readProfile(seccompProfile);
  }
  if (config.validateOnly) await validate(engine);
  return { config, settings };
}

/** What the start of the engine would find wrong of what is in files of the host. */
async function validate({ userns }: Settings["engine"]): Promise<void> {
  if (!userns || Object.values(userns).every((value) => value === "")) return;
  const { checkUserNamespaces } = await import("../engine/index.ts");
  await checkUserNamespaces(userns);
}

function checked(config: Config, about: Parameters<typeof loadSettings>[1]): Settings {
  try {
    return toSettings(config, { ...about, home: homedir(), env: process.env });
  } catch (cause) {
    const message = messageOf(cause);
    if (!config.hasFile || message.startsWith("conflict labels")) throw cause;
    const both = "merged configuration validation from file and command line flags failed";
    throw withFile(config.configFile, new GantryError("invalid", `${both}: ${message}`, { cause }));
  }
}

async function readProfile(path: string): Promise<string> {
  if (path === "unconfined") return path;
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    const why = `open ${path}: ${openFailure(cause)}`;
    throw new GantryError("invalid", `opening seccomp profile (${path}) failed: ${why}`, { cause });
  });
  try {
    JSON.parse(text);
  } catch (cause) {
    const message = `decoding seccomp profile (${path}) failed: ${messageOf(cause)}`;
    throw new GantryError("invalid", message, { cause });
  }
  return text;
}
