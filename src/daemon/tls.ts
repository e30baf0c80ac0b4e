// Certificates of the TCP listener: with --tlsverify only clients with a certificate of the CA get
// in. Errors name the file, as dockerd's do.

import { readFile } from "node:fs/promises";
import { createSecureContext, type TlsOptions } from "node:tls";
import { GantryError, messageOf } from "../base/index.ts";
import type { TlsFiles } from "./settings.ts";

export async function loadTls(files: TlsFiles): Promise<TlsOptions> {
  const cert = await read(files.cert, "certificate");
  const key = await read(files.key, "key");
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    throw new GantryError(
      "invalid",
      `could not load X509 key pair (cert: "${files.cert}", key: "${files.key}"): ` +
        messageOf(cause),
      { cause },
    );
  }
  const common: TlsOptions = { cert, key, minVersion: "TLSv1.2" };
  if (!files.verify) return common;
  const ca = await read(files.ca, "CA certificate");
  return { ...common, ca, requestCert: true, rejectUnauthorized: true };
}

async function read(path: string, what: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    throw new GantryError("invalid", `could not read ${what} "${path}": ${messageOf(cause)}`, {
      cause,
    });
  });
}
