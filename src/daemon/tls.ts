// Certificates of the TCP listener: with --tlsverify only clients with a certificate of the CA get
// in. Errors name the file, as dockerd's do.

import { readFile } from "node:fs/promises";
import { createSecureContext, type TlsOptions } from "node:tls";
import { GantryError, messageOf } from "../base/index.ts";
import { openFailure } from "./config.ts";
import type { TlsFiles } from "./settings.ts";

/** Throws invalid in dockerd's words. */
export async function loadTls(files: TlsFiles): Promise<TlsOptions> {
  const pair = `X509 key pair (cert: "${files.cert}", key: "${files.key}")`;
  const [cert, key] = await Promise.all([read(files.cert), read(files.key)]).catch(
    (cause: unknown) => {
      throw invalid(`Could not load ${pair}: ${messageOf(cause)}`, cause);
    },
  );
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    const hint = "Make sure the key is not encrypted.";
    throw invalid(`Error reading ${pair}: ${messageOf(cause)}. ${hint}`, cause);
  }
  const common: TlsOptions = { cert, key, minVersion: "TLSv1.2" };
  if (!files.verify) return common;
  const ca = await read(files.ca).catch((cause: unknown) => {
    throw invalid(`could not read CA certificate "${files.ca}": ${messageOf(cause)}`, cause);
  });
  if (!/-----BEGIN CERTIFICATE-----/.test(ca.toString("latin1"))) {
    throw invalid(`failed to append certificates from PEM file: "${files.ca}"`);
  }
  return { ...common, ca, requestCert: true, rejectUnauthorized: true };
}

async function read(path: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    throw new GantryError("invalid", `open ${path}: ${openFailure(cause)}`, { cause });
  });
}

function invalid(message: string, cause?: unknown): GantryError {
  return new GantryError("invalid", `invalid TLS configuration: ${message}`, { cause });
}
