// Registries as the command line speaks to them itself, without the daemon (docker manifest's way):
// with the caller's credentials, proxies and the host's certificates.

import { join } from "node:path";
import { type Credentials, proxiesOfEnvironment, Registries } from "../../distribution/index.ts";
import type { Reference } from "../../spec/index.ts";
import { type Session, VERSION } from "../session.ts";
import { findLogin, serverAddress } from "./credentials.ts";

const transfersMax = 5;
const attemptsMax = 5;

/** `insecure` are hosts that may be spoken to without verified TLS. */
export function openRegistries(session: Session, insecure: readonly string[] = []): Registries {
  const { env } = session.io;
  return new Registries({
    insecureRegistries: [...insecure],
    mirrors: [],
    maxConcurrentDownloads: transfersMax,
    maxConcurrentUploads: transfersMax,
    maxDownloadAttempts: attemptsMax,
    certificateFolders: [
      "/etc/docker/certs.d",
      "/etc/gantry/certs.d",
      join(session.configFolder, "certs.d"),
    ],
    userAgent: `Gantry-Client/${VERSION} (linux)`,
    proxies: proxiesOfEnvironment(env),
  });
}

/** What the caller has for a registry; a helper that fails is said. */
export async function credentialsFor(session: Session, registry: string): Promise<Credentials> {
  const address = serverAddress(registry);
  const login = await findLogin(session, address).catch((error: Error) => {
    session.warn(`WARNING: Error loading credentials for ${address}: ${error.message}`);
    return undefined;
  });
  const { username, password, identitytoken, registrytoken } = login ?? {};
  return {
    ...(username === undefined ? {} : { username, password: password ?? "" }),
    ...(identitytoken ? { identityToken: identitytoken } : {}),
    ...(registrytoken ? { registryToken: registrytoken } : {}),
  };
}

/** The registry of a reference, ready to be asked in the caller's name. */
export async function registryOf(
  session: Session,
  { registry, repository }: Reference,
  { insecure = false }: { insecure?: boolean } = {},
) {
  const registries = openRegistries(session, insecure ? [registry] : []);
  const credentials = await credentialsFor(session, registry);
  return registries.open(registry, { credentials, repository, signal: session.io.signal });
}
