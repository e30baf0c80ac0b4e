// What a registry holds under a name, and whether credentials are good there.

import { checkLogin, inspectRemote, type RemoteImage } from "../../distribution/index.ts";
import { parseReference } from "../../spec/index.ts";
import type { EngineContext } from "../context.ts";
import type { Images } from "../contract.ts";

const HUB_INDEX = "index.docker.io";

export function inspectDistribution(
  engine: EngineContext,
  name: string,
  o: Parameters<Images["inspectRemote"]>[1] = {},
): Promise<RemoteImage> {
  return inspectRemote(engine.registries, parseReference(name), o);
}

/** `address` as docker login gives it: "https://index.docker.io/v1/", "localhost:5000". */
export async function login(
  engine: EngineContext,
  address: string,
  credentials: Parameters<Images["login"]>[1],
  o: Parameters<Images["login"]>[2] = {},
): Promise<{ identityToken: string }> {
  const host = address.replace(/^https?:\/\//, "").split("/", 1)[0]!;
  const isHub = host === "" || host === HUB_INDEX || host === "docker.io";
  return checkLogin(engine.registries, isHub ? "docker.io" : host, credentials, o);
}
