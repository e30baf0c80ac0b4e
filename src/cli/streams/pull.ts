// Asks the daemon to pull an image and shows how it goes.

import { familiarName, parseReference } from "../../spec/index.ts";
import { registryAuthHeader } from "../config/credentials.ts";
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
  const { body } = await client.call("POST", "/images/create", {
    query: {
      fromImage:
        familiarName(reference).includes("/") || reference.registry !== "docker.io"
          ? `${reference.registry}/${reference.repository}`
          : `docker.io/${reference.repository}`,
      tag: reference.digest ?? reference.tag,
      platform: platform || undefined,
    },
    headers: await registryAuthHeader(session, reference.registry),
    signal: session.io.signal,
  });
  await showProgress(out, body, { quiet });
}
