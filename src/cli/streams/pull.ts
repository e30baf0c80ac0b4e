// Asks the daemon to pull an image and shows how it goes.

import { familiarName, parseReference } from "../../spec/index.ts";
import type { Output } from "../io.ts";
import type { Session } from "../session.ts";
import { showProgress } from "./progress.ts";

export interface PullOptions {
  platform: string;
  quiet: boolean;
  out: Output;
  all?: boolean;
}

/** Throws the daemon's error, whether it comes at once or in the stream. */
export async function pullImage(
  session: Session,
  image: string,
  { platform, quiet, out, all = false }: PullOptions,
): Promise<void> {
  const reference = parseReference(image, { defaultTag: !all });
  const client = await session.client();
  const auth = registryAuth(session, reference.registry);
  const { body } = await client.call("POST", "/images/create", {
    query: {
      fromImage:
        familiarName(reference).includes("/") || reference.registry !== "docker.io"
          ? `${reference.registry}/${reference.repository}`
          : `docker.io/${reference.repository}`,
      tag: reference.digest ?? reference.tag,
      platform: platform || undefined,
    },
    ...(auth ? { headers: { "X-Registry-Auth": auth } } : {}),
    signal: session.io.signal,
  });
  await showProgress(out, body, { quiet });
}

/** The credentials of config.json for a registry, as the API's header carries them. */
function registryAuth(session: Session, registry: string): string | undefined {
  const key = registry === "docker.io" ? "https://index.docker.io/v1/" : registry;
  const entry = session.config.auths?.[key];
  if (!entry) return undefined;
  const auth: Record<string, string> = { serveraddress: key };
  if (entry.auth) {
    const [username = "", ...password] = Buffer.from(entry.auth, "base64").toString().split(":");
    auth["username"] = username;
    auth["password"] = password.join(":").replace(/\0+$/, "");
  }
  if (entry.identitytoken) auth["identitytoken"] = entry.identitytoken;
  if (entry.registrytoken) auth["registrytoken"] = entry.registrytoken;
  return Buffer.from(JSON.stringify(auth)).toString("base64url");
}
