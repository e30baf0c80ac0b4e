// The protocol of docker-credential-<name> programs: a verb as the argument, the question on
// standard input, JSON (or the reason of a failure) on standard output.

import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { GantryError } from "../../base/index.ts";

const outputBytesMax = 1 << 20;
const saidCharsMax = 2_000;
/** A helper may ask the user to unlock something. */
const timeoutMs = 120_000;
/** What helpers take as the user name of a refresh token. */
export const TOKEN_USER = "<token>";
const NOT_FOUND = "credentials not found in native keychain";

export type HelperEnv = Readonly<Record<string, string | undefined>>;
export interface HelperSecret {
  username: string;
  secret: string;
}

export class CredentialHelper {
  readonly name: string;
  #env: HelperEnv;

  constructor(name: string, env: HelperEnv) {
    if (!/^[\w.-]+$/.test(name)) {
      throw new GantryError("invalid", `invalid credential helper: ${JSON.stringify(name)}`);
    }
    this.name = name;
    this.#env = env;
  }

  /** Undefined when it keeps nothing for the address. */
  async get(address: string): Promise<HelperSecret | undefined> {
    const { failed, output } = await this.#call("get", address);
    if (failed !== undefined) {
      if (output.trim() === NOT_FOUND) return undefined;
      throw failure("getting", failed, output);
    }
    const { Username, Secret } = parse("getting", output);
    return { username: String(Username ?? ""), secret: String(Secret ?? "") };
  }

  async store(address: string, { username, secret }: HelperSecret): Promise<void> {
    const question = { ServerURL: address, Username: username, Secret: secret };
    const { failed, output } = await this.#call("store", JSON.stringify(question));
    if (failed !== undefined) throw failure("storing", failed, output);
  }

  async erase(address: string): Promise<void> {
    const { failed, output } = await this.#call("erase", address);
    if (failed !== undefined && output.trim() !== NOT_FOUND) {
      throw failure("erasing", failed, output);
    }
  }

  /** Every address that it keeps something for, with the user's name. */
  async list(): Promise<Map<string, string>> {
    const { failed, output } = await this.#call("list", "unused");
    if (failed !== undefined) throw failure("listing", failed, output);
    return new Map(Object.entries(parse("listing", output)).map(([key, name]) => [key, `${name}`]));
  }

  #call(verb: string, input: string): Promise<{ failed?: string; output: string }> {
    const program = `docker-credential-${this.name}`;
    return new Promise((resolve) => {
      const child = spawn(program, [verb], {
        env: this.#env as NodeJS.ProcessEnv,
        stdio: ["pipe", "pipe", "ignore"],
        timeout: timeoutMs,
      });
      const chunks: Buffer[] = [];
      let bytes = 0;
      child.stdout.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= outputBytesMax) chunks.push(chunk);
        else child.kill();
      });
      const end = (failed?: string): void => {
        const output = Buffer.concat(chunks).toString("utf8");
        resolve({ output, ...(failed === undefined ? {} : { failed }) });
      };
      child.on("error", (error: NodeJS.ErrnoException) => {
        const missing = error.code === "ENOENT";
        end(missing ? `exec: "${program}": executable file not found in $PATH` : error.message);
      });
      child.on("close", (code, signal) => {
        if (code === 0) end();
        else end(signal ? `signal: ${signal}` : `exit status ${code}`);
      });
      child.stdin.on("error", () => {}); // it may end before it has read
      child.stdin.end(input);
    });
  }
}

/** Docker's sentence; what the program said goes to a terminal. */
function failure(doing: string, why: string, output: string): GantryError {
  const said = output
    .slice(0, saidCharsMax)
    .replace(/[^\P{Cc}\n\t]/gu, "")
    .trim();
  return new GantryError("internal", `error ${doing} credentials - err: ${why}, out: \`${said}\``);
}

function parse(doing: string, output: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(output);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
    throw new Error("not an object");
  } catch (cause) {
    throw failure(doing, (cause as Error).message.slice(0, saidCharsMax), "not valid JSON");
  }
}

/** The helper that docker takes by itself where nothing is configured: the one of the desktop's or
 * pass's keychain, if it is installed. */
export function defaultHelper(env: HelperEnv): string | undefined {
  const name = onPath(env, "pass") ? "pass" : "secretservice";
  return onPath(env, `docker-credential-${name}`) ? name : undefined;
}

function onPath({ PATH = "" }: HelperEnv, program: string): boolean {
  return PATH.split(":").some((folder) => {
    try {
      accessSync(join(folder || ".", program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
