// Credentials of registries as docker's client keeps them: in config.json, or with an external
// program docker-credential-<name> (credsStore for all, credHelpers for single registries).

import { spawn } from "node:child_process";
import { GantryError } from "../../base/index.ts";
import type { Session } from "../session.ts";
import { type ConfigFile, saveConfigFile } from "./config-file.ts";

export const HUB_ADDRESS = "https://index.docker.io/v1/";
/** What helpers take as the user name of a refresh token. */
const TOKEN_USER = "<token>";
const helperOutputBytesMax = 1 << 20;

export interface Login {
  serveraddress: string;
  username?: string;
  password?: string;
  identitytoken?: string;
  registrytoken?: string;
}

/** The key of a registry in config.json: its host, but for Docker Hub. */
export function serverAddress(registry: string): string {
  const host = registry.replace(/^https?:\/\//, "").split("/", 1)[0]!;
  return host === "" || host === "docker.io" || host === "index.docker.io" ? HUB_ADDRESS : host;
}

/** Undefined when nothing is kept for the registry. */
export async function findLogin(session: Session, address: string): Promise<Login | undefined> {
  const helper = helperOf(session.config, address);
  if (helper !== undefined) return askHelper(session, helper, address);
  const auths = session.config.auths ?? {};
  const key = Object.keys(auths).find((one) => one === address || serverAddress(one) === address);
  const entry = key === undefined ? undefined : auths[key];
  if (entry === undefined) return undefined;
  const pair = Buffer.from(entry.auth ?? "", "base64")
    .toString("utf8")
    .replace(/\0+$/, "");
  const colon = pair.indexOf(":");
  return {
    serveraddress: address,
    ...(colon > 0 ? { username: pair.slice(0, colon), password: pair.slice(colon + 1) } : {}),
    ...(entry.identitytoken ? { identitytoken: entry.identitytoken } : {}),
    ...(entry.registrytoken ? { registrytoken: entry.registrytoken } : {}),
  };
}

/** The header X-Registry-Auth for requests that concern a registry. */
export async function registryAuthHeader(
  session: Session,
  registry: string,
): Promise<Record<string, string>> {
  const login = await findLogin(session, serverAddress(registry));
  if (login === undefined) return {};
  return { "X-Registry-Auth": Buffer.from(JSON.stringify(login)).toString("base64url") };
}

/** Keeps a login. Returns the file's path when it went there in the clear. */
export async function keepLogin(session: Session, login: Login): Promise<string | undefined> {
  const { config, configPath } = session;
  const { serveraddress: address, username = "", password = "", identitytoken } = login;
  const helper = helperOf(config, address);
  if (helper !== undefined) {
    const Username = identitytoken ? TOKEN_USER : username;
    const Secret = identitytoken || password;
    await runHelper(
      session,
      helper,
      "store",
      JSON.stringify({ ServerURL: address, Username, Secret }),
    );
    return undefined;
  }
  const secret = identitytoken ? "" : password;
  const auth = Buffer.from(`${username}:${secret}`).toString("base64");
  const entry = { auth, ...(identitytoken ? { identitytoken } : {}) };
  await saveConfigFile(configPath, { ...config, auths: { ...config.auths, [address]: entry } });
  return configPath;
}

/** Returns whether anything was kept. */
export async function dropLogin(session: Session, address: string): Promise<boolean> {
  const { config, configPath } = session;
  const known = (await findLogin(session, address)) !== undefined;
  const helper = helperOf(config, address);
  if (helper !== undefined && known) await runHelper(session, helper, "erase", address);
  const auths = Object.entries(config.auths ?? {});
  const rest = auths.filter(([key]) => key !== address && serverAddress(key) !== address);
  if (rest.length < auths.length) {
    await saveConfigFile(configPath, { ...config, auths: Object.fromEntries(rest) });
  }
  return known;
}

function helperOf(config: ConfigFile, address: string): string | undefined {
  return config.credHelpers?.[address] || config.credsStore || undefined;
}

async function askHelper(
  session: Session,
  helper: string,
  address: string,
): Promise<Login | undefined> {
  const { code, output } = await callHelper(session, helper, "get", address);
  // Nothing kept is not an error; a helper that is not there is like one that knows nothing.
  if (code !== 0) return undefined;
  const { Username = "", Secret = "" } = JSON.parse(output) as {
    Username?: string;
    Secret?: string;
  };
  if (Username === TOKEN_USER) return { serveraddress: address, identitytoken: Secret };
  return { serveraddress: address, username: Username, password: Secret };
}

async function runHelper(
  session: Session,
  helper: string,
  verb: "store" | "erase",
  input: string,
): Promise<void> {
  const { code, output } = await callHelper(session, helper, verb, input);
  if (code === 0) return;
  const what = verb === "store" ? "saving" : "erasing";
  throw new GantryError(
    "internal",
    `Error ${what} credentials: error ${what === "saving" ? "storing" : "erasing"} ` +
      `credentials - err: exit status ${code}, out: \`${output.trim()}\``,
  );
}

function callHelper(
  session: Session,
  helper: string,
  verb: string,
  input: string,
): Promise<{ code: number; output: string }> {
  const env = session.io.env as NodeJS.ProcessEnv;
  return new Promise((resolve) => {
    const child = spawn(`docker-credential-${helper}`, [verb], {
      env,
      stdio: ["pipe", "pipe", "ignore"],
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      if (output.length < helperOutputBytesMax) output += chunk.toString("utf8");
    });
    child.on("error", (error) => resolve({ code: 127, output: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
    child.stdin.on("error", () => {}); // it may end before it has read
    child.stdin.end(input);
  });
}
