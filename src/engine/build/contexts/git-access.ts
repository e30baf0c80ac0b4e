// How a repository is reached: an address that names no user and no password any more, and beside
// it what only the process that fetches may see: headers from secrets, and the client's ssh agent
// behind a socket that lasts as long as the fetch.

import { createServer, type Server } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream";
import { GantryError } from "../../../base/index.ts";
import { dropBody } from "../../../distribution/index.ts";
import type { EngineContext } from "../../context.ts";
import type { BuildSession } from "../session.ts";

const REFS = "/info/refs?service=git-upload-pack";
const REDIRECTS_MAX = 5;

export interface GitSecrets {
  secret?:
    | ((id: string, o: { signal: AbortSignal }) => Promise<Uint8Array | undefined>)
    | undefined;
  /** A connection to the client's agent; undefined where it forwards none. */
  sshAgent?: ((o: { signal: AbortSignal }) => Promise<Duplex | undefined>) | undefined;
}
/** What a client's session offers. */
export function gitSecrets(session: BuildSession | undefined): GitSecrets {
  if (!session) return {};
  return {
    secret: (id, o) => session.secret(id, o),
    sshAgent: async (o) => {
      if (!(await session.hasSshAgent("default", o))) return undefined;
      return await session.connectSshAgent("default", o);
    },
  };
}

export interface GitAccess extends AsyncDisposable {
  /** To be given to git. */
  remote: string;
  config: Record<string, string>;
  env: Record<string, string>;
}

/** `folder`: an empty one of ours; `knownHosts`: a file that is kept with the repository. */
export async function gitAccess(
  address: string,
  secrets: GitSecrets,
  { folder, knownHosts, signal }: { folder: string; knownHosts: string; signal: AbortSignal },
): Promise<GitAccess> {
  if (address.startsWith("-")) throw new GantryError("invalid", `invalid git address: ${address}`);
  if (/^https?:\/\//.test(address)) return await overHttp(address, secrets, signal);
  if (address.startsWith("git://")) return plain(address);
  return await overSsh(address, secrets, { folder, knownHosts, signal });
}

function plain(remote: string): GitAccess {
  return { remote, config: {}, env: {}, [Symbol.asyncDispose]: async () => {} };
}

async function overHttp(
  address: string,
  { secret }: GitSecrets,
  signal: AbortSignal,
): Promise<GitAccess> {
  const url = URL.parse(address);
  if (url === null) throw new GantryError("invalid", `invalid git address: ${address}`);
  const { username, password, host } = url;
  url.username = "";
  url.password = "";
  const access = plain(url.href);
  const authorization =
    username !== ""
      ? basic(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`)
      : await fromSecrets(host, secret, signal);
  if (authorization) authorize(access, authorization);
  return access;
}

const AUTHORIZATION = "Authorization: ";
const headerKey = (remote: string) => `http.${new URL(remote).origin}/.extraHeader`;
const redirectsKey = (remote: string) => `http.${new URL(remote).origin}/.followRedirects`;

/** For the server's own part of the name space only. git sends it to where it is redirected, too,
 * so it follows nobody. */
function authorize({ remote, config }: Pick<GitAccess, "remote" | "config">, value: string): void {
  config[headerKey(remote)] = `${AUTHORIZATION}${value}`;
  config[redirectsKey(remote)] = "false";
}

/** Follows in git's place where a repository with credentials has moved: on the same server they
 * go along, anywhere else they do not. What cannot be reached git tells of. */
export async function followMoves(
  access: Pick<GitAccess, "remote" | "config">,
  { registries }: Pick<EngineContext, "registries">,
  signal: AbortSignal,
): Promise<void> {
  for (let hop = 0; hop < REDIRECTS_MAX; hop++) {
    if (!/^https?:/.test(access.remote)) return;
    const header = access.config[headerKey(access.remote)];
    if (header === undefined) return;
    const headers = { Authorization: header.slice(AUTHORIZATION.length) };
    const asked = new URL(`${access.remote.replace(/\/$/, "")}${REFS}`);
    const o = { headers, signal, followRedirects: false };
    const response = await registries.get(asked, o).catch(() => undefined);
    signal.throwIfAborted();
    if (response === undefined) return;
    dropBody(response);
    const { location = "" } = response.headers;
    const moved = /^30[12378]$/.test(String(response.statusCode)) && URL.parse(location, asked);
    if (!moved || !/^https?:$/.test(moved.protocol) || !moved.href.endsWith(REFS)) return;
    delete access.config[headerKey(access.remote)];
    delete access.config[redirectsKey(access.remote)];
    moved.username = "";
    moved.password = "";
    const isOwn = moved.origin === asked.origin;
    access.remote = moved.href.slice(0, -REFS.length);
    if (isOwn) authorize(access, headers.Authorization);
  }
}

async function fromSecrets(
  host: string,
  secret: GitSecrets["secret"],
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!secret) return undefined;
  const read = async (id: string) => {
    const bytes = await secret(id, { signal });
    const text = bytes && Buffer.from(bytes).toString().trim();
    return text === "" ? undefined : text;
  };
  for (const suffix of [`.${host}`, ""]) {
    const header = await read(`GIT_AUTH_HEADER${suffix}`);
    if (header !== undefined) return oneLine(header);
    const token = await read(`GIT_AUTH_TOKEN${suffix}`);
    if (token !== undefined) return basic(`x-access-token:${token}`);
  }
  return undefined;
}

const basic = (pair: string): string => `basic ${Buffer.from(pair).toString("base64")}`;

function oneLine(header: string): string {
  if (/[\r\n\0]/.test(header)) {
    throw new GantryError("invalid", "the secret GIT_AUTH_HEADER has more than one line");
  }
  return header;
}

/** Hosts are trusted at first sight, as BuildKit does, and from then on by that key. */
async function overSsh(
  remote: string,
  { sshAgent }: GitSecrets,
  { folder, knownHosts, signal }: { folder: string; knownHosts: string; signal: AbortSignal },
): Promise<GitAccess> {
  const options = [
    "-F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new",
    `-o UserKnownHostsFile='${knownHosts}' -o GlobalKnownHostsFile=/dev/null`,
    "-o IdentitiesOnly=no -o IdentityFile=/dev/null",
  ];
  const env: Record<string, string> = { GIT_SSH_COMMAND: `ssh ${options.join(" ")}` };
  const first = await sshAgent?.({ signal });
  if (first === undefined || sshAgent === undefined) return { ...plain(remote), env };
  const path = join(folder, "agent");
  const waiting: Duplex[] = [first];
  const server = createServer(async (socket) => {
    socket.on("error", () => {});
    const agent = waiting.pop() ?? (await sshAgent({ signal }).catch(() => undefined));
    if (agent === undefined) return void socket.destroy();
    pipeline(socket, agent, () => {});
    pipeline(agent, socket, () => {});
  });
  await listen(server, path);
  env["SSH_AUTH_SOCK"] = path;
  const close = async () => {
    for (const agent of waiting.splice(0)) agent.destroy();
    server.close();
  };
  return { remote, config: {}, env, [Symbol.asyncDispose]: close };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Accepting may fail later, too, where files run out.
    server.on("error", reject);
    server.listen(path, resolve);
  });
}
