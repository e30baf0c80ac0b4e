// Creates a container for `run` and `create`: the id file, the image (pulled when it is missing),
// the warnings.

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { GantryError, kindOf, type ParsedFlags } from "../../base/index.ts";
import { type Client, compareVersions } from "../../client/index.ts";
import { familiarReference, parseReference } from "../../spec/index.ts";
import { exitError } from "../command.ts";
import { callerPath } from "../io.ts";
import type { Session } from "../session.ts";
import { pullImage } from "../streams/pull.ts";
import type { CREATE_FLAGS } from "./flags.ts";
import { type ContainerRequest, containerRequest } from "./request.ts";

const PULL_WHEN = ["always", "missing", "never"];
const EXIT_DAEMON = 125;

export type CreateFlags = ParsedFlags<typeof CREATE_FLAGS>;

/** A refusal as `docker run` words it, with its exit code. */
export function refusal(error: unknown): GantryError {
  if (error instanceof GantryError) {
    if (error.kind === "cancelled" || error.detail["exitCode"] !== undefined) return error;
    return exitError(EXIT_DAEMON, error.message, { cause: error, help: true });
  }
  return exitError(EXIT_DAEMON, error instanceof Error ? error.message : String(error), {
    cause: error,
    help: true,
  });
}

/** The request that the flags mean. */
export function requestOf(session: Session, flags: CreateFlags): ContainerRequest {
  const { values } = flags;
  if (!PULL_WHEN.includes(values.pull)) {
    throw new GantryError(
      "invalid",
      `invalid pull option: '${values.pull}': must be one of "always", "missing" or "never"`,
    );
  }
  if (values["use-api-socket"]) {
    throw new GantryError("not-implemented", "--use-api-socket is not supported by gantry");
  }
  const { io } = session;
  const request = containerRequest(flags, {
    env: io.env,
    cwd: io.cwd,
    path: (file) => callerPath(io, file),
  });
  addProxies(session, request);
  return request;
}

/** config.json's proxies become environment variables, unless the user set them. */
function addProxies(session: Session, { config }: ContainerRequest): void {
  const all = session.config.proxies;
  if (!all) return;
  const host = session.resolve().endpoint.text;
  const proxy = all[host] ?? all["default"];
  if (!proxy) return;
  const given = new Set((config.Env ?? []).map((pair) => pair.split("=")[0]));
  const names = {
    httpProxy: "HTTP_PROXY",
    httpsProxy: "HTTPS_PROXY",
    ftpProxy: "FTP_PROXY",
    noProxy: "NO_PROXY",
    allProxy: "ALL_PROXY",
  } as const;
  const added = Object.entries(names).flatMap(([key, name]) => {
    const value = proxy[key as keyof typeof names];
    if (!value) return [];
    return [name, name.toLowerCase()]
      .filter((one) => !given.has(one))
      .map((one) => `${one}=${value}`);
  });
  if (added.length > 0) config.Env = [...(config.Env ?? []), ...added];
}

interface Created {
  Id: string;
  Warnings?: string[] | null;
}

/** Creates the container; returns its id. */
export async function createContainer(
  session: Session,
  { values }: CreateFlags,
  request: ContainerRequest,
): Promise<string> {
  const cidPath = values.cidfile === "" ? undefined : callerPath(session.io, values.cidfile);
  if (cidPath && existsSync(cidPath)) {
    throw new GantryError(
      "conflict",
      `container ID file found, make sure the other container isn't running or delete ${values.cidfile}`,
    );
  }
  const image = request.config.Image ?? "";
  const named = /^(sha256:)?[0-9a-f]{64}$/.test(image) ? undefined : parseReference(image);
  if (cidPath) writeFileSync(cidPath, "", { flag: "wx", mode: 0o644 });
  try {
    if (values.pull === "always" && named) await pull(session, values, image);
    const created = await createOrPull(session, values, request, named && familiarReference(named));
    for (const warning of created.Warnings ?? []) session.warn(`WARNING: ${warning}`);
    if (cidPath) writeFileSync(cidPath, created.Id);
    return created.Id;
  } catch (error) {
    if (cidPath) rmSync(cidPath, { force: true });
    throw error;
  }
}

function pull(session: Session, values: CreateFlags["values"], image: string): Promise<void> {
  return pullImage(session, image, {
    platform: values.platform,
    quiet: values.quiet,
    out: session.io.stderr,
  });
}

/** What is sent for a request. */
export function createBody(
  client: Client,
  { config, hostConfig, networkingConfig }: ContainerRequest,
): Record<string, unknown> {
  const body: Record<string, unknown> = { ...config, HostConfig: hostConfig };
  body["NetworkingConfig"] = networkingConfig;
  // A container's own MacAddress field went away with 1.44; older daemons read no other.
  if (compareVersions(client.version, "1.44") >= 0) delete body["MacAddress"];
  return body;
}

async function createOrPull(
  session: Session,
  values: CreateFlags["values"],
  request: ContainerRequest,
  name: string | undefined,
): Promise<Created> {
  const client = await session.client();
  await client.negotiate();
  const body = createBody(client, request);
  const create = () =>
    client.json<Created>("POST", "/containers/create", {
      query: { name: values.name || undefined, platform: values.platform || undefined },
      json: body,
    });
  try {
    return await create();
  } catch (error) {
    const missing =
      kindOf(error) === "not-found" &&
      /no such image|was found but does not/i.test((error as Error).message);
    if (!missing || !name || values.pull !== "missing") throw error;
    if (!values.quiet) session.warn(`Unable to find image '${name}' locally`);
    await pull(session, values, request.config.Image ?? "");
    return create();
  }
}
