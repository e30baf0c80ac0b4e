// TLS material of a registry from folders laid out as docker's certs.d: <host[:port]>/*.crt are
// trusted besides the system's roots, *.cert with its *.key is ours. Read again when a file has
// changed, so that a renewed certificate needs no restart.

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { createSecureContext, rootCertificates } from "node:tls";
import { errnoOf, GantryError } from "../base/index.ts";
import type { TlsTrust } from "./transport.ts";

const filesMax = 100;
const fileBytesMax = 4 << 20;
/** Where distributions keep the system's roots in one file; the order is Go's. */
const BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

type Found = { folder: string; name: string; stamp: string };

/** What is there for a host now, and a text that changes when any of it does. */
export async function findCertificates(
  folders: readonly string[],
  host: string,
): Promise<{ stamp: string; read(): Promise<Partial<TlsTrust>> }> {
  const found: Found[] = [];
  // A host never leaves the folder: references allow no slash in it, and no name is "..".
  const safe = !host.includes("/") && !host.startsWith(".");
  for (const root of safe ? folders : []) {
    const folder = join(root, host);
    const names = (await list(folder)).filter((name) => /\.(?:crt|cert|key)$/.test(name)).sort();
    for (const name of names.slice(0, filesMax)) {
      const facts = await stat(join(folder, name)).catch(() => undefined);
      const stamp = facts ? `${facts.ino} ${facts.size} ${facts.mtimeMs} ${facts.ctimeMs}` : "";
      found.push({ folder, name, stamp });
    }
  }
  const stamp = found.map((one) => `${one.folder}/${one.name} ${one.stamp}`).join("\n");
  return { stamp, read: () => readAll(found) };
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === "ENOENT" || errno === "ENOTDIR") return [];
    throw new GantryError("internal", `cannot read certificates in ${folder}`, { cause });
  }
}

async function readAll(found: readonly Found[]): Promise<Partial<TlsTrust>> {
  const authorities: string[] = [];
  const trust: Partial<TlsTrust> = {};
  for (const { folder, name } of found) {
    if (name.endsWith(".crt")) authorities.push(await text(folder, name));
    if (name.endsWith(".key")) requirePair(found, folder, name);
    if (!name.endsWith(".cert")) continue;
    const key = `${name.slice(0, -".cert".length)}.key`;
    if (!found.some((one) => one.folder === folder && one.name === key)) {
      throw new GantryError(
        "invalid",
        `missing key ${key} for client certificate ${name}. CA certificates must use the ` +
          "extension .crt",
      );
    }
    trust.cert = await text(folder, name);
    trust.key = await text(folder, key);
  }
  trust.ca = [...(await systemRoots()), ...authorities];
  if (trust.cert !== undefined || authorities.length > 0) check(trust, found);
  return trust;
}

function requirePair(found: readonly Found[], folder: string, key: string): void {
  const certificate = `${key.slice(0, -".key".length)}.cert`;
  if (found.some((one) => one.folder === folder && one.name === certificate)) return;
  throw new GantryError("invalid", `missing client certificate ${certificate} for key ${key}`);
}

async function text(folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  try {
    const facts = await stat(path);
    if (!facts.isFile() || facts.size > fileBytesMax) throw new Error("not a certificate file");
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new GantryError("invalid", `cannot read ${path}`, { cause });
  }
}

/** A wrong file says so here, not in some handshake. */
function check(trust: Partial<TlsTrust>, found: readonly Found[]): void {
  try {
    createSecureContext(trust);
  } catch (cause) {
    const folder = found[0]?.folder ?? "";
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new GantryError("invalid", `certificates in ${folder} cannot be used: ${why}`, { cause });
  }
}

let known: Promise<readonly string[]> | undefined;

/** The roots that the system's administrator has chosen; those of Node where there are none. */
export function systemRoots(): Promise<readonly string[]> {
  known ??= (async () => {
    const chosen = process.env["SSL_CERT_FILE"];
    for (const path of chosen ? [chosen] : BUNDLES) {
      const bundle = await readFile(path, "utf8").catch(() => "");
      if (bundle.includes("BEGIN CERTIFICATE")) return [bundle];
    }
    return rootCertificates;
  })();
  return known;
}
