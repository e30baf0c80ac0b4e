// Credentials of registries as docker's client keeps them: in config.json, or with an external
// program docker-credential-<name> (credsStore for all, credHelpers for single registries).

import type { Session } from "../session.ts";
import { type ConfigFile, saveConfigFile } from "./config-file.ts";
import { CredentialHelper, defaultHelper, TOKEN_USER } from "./credential-program.ts";

export const HUB_ADDRESS = "https://index.docker.io/v1/";

export interface Login {
  serveraddress: string;
  username?: string;
  password?: string;
  identitytoken?: string;
  registrytoken?: string;
}
type Entry = NonNullable<ConfigFile["auths"]>[string];

/** The key of a registry in config.json: its host, but for Docker Hub. */
export function serverAddress(registry: string): string {
  const host = registry.replace(/^https?:\/\//, "").split("/", 1)[0]!;
  return host === "" || host === "docker.io" || host === "index.docker.io" ? HUB_ADDRESS : host;
}

/** Undefined when nothing is kept for the registry. Throws when its helper fails. */
export async function findLogin(session: Session, address: string): Promise<Login | undefined> {
  const helper = helperOf(session, address);
  const entry = entryOf(session.config, address);
  if (helper === undefined) return entry && loginOf(address, entry);
  const kept = await helper.get(address);
  if (kept === undefined) return undefined;
  const { username, secret } = kept;
  if (username === TOKEN_USER) return { serveraddress: address, identitytoken: secret };
  return { serveraddress: address, username, password: secret };
}

function entryOf({ auths = {} }: ConfigFile, address: string): Entry | undefined {
  if (Object.hasOwn(auths, address)) return auths[address];
  const key = Object.keys(auths).find((one) => serverAddress(one) === address);
  return key === undefined ? undefined : auths[key];
}

function loginOf(address: string, entry: Entry): Login | undefined {
  const pair = Buffer.from(entry.auth ?? "", "base64").toString("utf8");
  const colon = pair.indexOf(":");
  const [username, password] =
    colon > 0
      ? [pair.slice(0, colon), pair.slice(colon + 1).replace(/\0+$/, "")]
      : [entry.username, entry.password];
  const { identitytoken, registrytoken } = entry;
  if (!username && !identitytoken && !registrytoken) return undefined;
  return {
    serveraddress: address,
    ...(username ? { username, password: password ?? "" } : {}),
    ...(identitytoken ? { identitytoken } : {}),
    ...(registrytoken ? { registrytoken } : {}),
  };
}

/** The header X-Registry-Auth for requests that concern a registry. A helper that fails is said,
 * and then nobody in particular asks, as with docker. */
export async function registryAuthHeader(
  session: Session,
  registry: string,
): Promise<Record<string, string>> {
  const address = serverAddress(registry);
  const login = await findLogin(session, address).catch((error: Error) => {
    session.warn(`WARNING: Error loading credentials for ${address}: ${error.message}`);
    return undefined;
  });
  if (login === undefined) return {};
  return { "X-Registry-Auth": Buffer.from(JSON.stringify(login)).toString("base64url") };
}

/** Everything that is kept, by address: for a build, whose images may come from anywhere. Helpers
 * that fail are left out with a warning. */
export async function allLogins(session: Session): Promise<Map<string, Login>> {
  const { credHelpers = {}, auths = {} } = session.config;
  const addresses = new Set([...Object.keys(auths), ...Object.keys(credHelpers)]);
  const whole = helperNamed(session, session.config.credsStore);
  const warn = (error: Error): void => session.warn(`WARNING: ${error.message}`);
  for (const address of (await whole?.list().catch(warn))?.keys() ?? []) addresses.add(address);
  const found = new Map<string, Login>();
  for (const address of addresses) {
    const login = await findLogin(session, address).catch(warn);
    if (login) found.set(address, login);
  }
  return found;
}

/** Keeps a login. Returns the file's path when it went there in the clear. */
export async function keepLogin(session: Session, login: Login): Promise<string | undefined> {
  const { config, configPath } = session;
  const { serveraddress: address, username = "", password = "", identitytoken } = login;
  const helper = helperOf(session, address);
  if (helper !== undefined) {
    await helper.store(address, {
      username: identitytoken ? TOKEN_USER : username,
      secret: identitytoken || password,
    });
    // The entry without secrets tells other programs that there is a login.
    const isChosen = config.credsStore === undefined && config.credHelpers?.[address] === undefined;
    await saveConfigFile(configPath, {
      ...config,
      auths: { ...config.auths, [address]: {} },
      ...(isChosen ? { credsStore: helper.name } : {}),
    });
    return undefined;
  }
  const auth = Buffer.from(`${username}:${identitytoken ? "" : password}`).toString("base64");
  const entry: Entry = { auth, ...(identitytoken ? { identitytoken } : {}) };
  await saveConfigFile(configPath, { ...config, auths: { ...config.auths, [address]: entry } });
  return configPath;
}

/** Drops a login under every spelling of its address. Throws when its helper fails, after the file
 * has been cleaned. */
export async function dropLogin(session: Session, address: string): Promise<void> {
  const { config, configPath } = session;
  const helper = helperOf(session, address);
  const auths = Object.entries(config.auths ?? {});
  const rest = auths.filter(([key]) => key !== address && serverAddress(key) !== address);
  if (rest.length < auths.length) {
    await saveConfigFile(configPath, { ...config, auths: Object.fromEntries(rest) });
  }
  await helper?.erase(address);
}

/** An empty name in credHelpers means the file. */
function helperOf(session: Session, address: string): CredentialHelper | undefined {
  const { credHelpers, credsStore, auths } = session.config;
  if (credHelpers !== undefined && Object.hasOwn(credHelpers, address)) {
    return helperNamed(session, credHelpers[address]);
  }
  const isUnset = !credsStore && !credHelpers && Object.keys(auths ?? {}).length === 0;
  return helperNamed(session, isUnset ? defaultHelper(session.io.env) : credsStore);
}

function helperNamed(session: Session, name: string | undefined): CredentialHelper | undefined {
  return name ? new CredentialHelper(name, session.io.env) : undefined;
}
