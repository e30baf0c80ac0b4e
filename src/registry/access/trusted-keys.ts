// The keys of an external token service, as docker's registry trusts them: those of the PEM
// bundle's certificates and of a JWKS file. A header may name one (kid), carry one (jwk), or carry
// a chain (x5c); a carried key counts only if it is one of ours, a chain only if it ends at a root
// of ours.

import { createHash, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { calculateJwkThumbprint, type JWK, type JWTHeaderParameters } from "jose";
import { GantryError, type Logger } from "../../base/index.ts";
import type { ExternalTokenOptions } from "./options.ts";
import { ReloadingFile } from "./reloading-file.ts";
import { TokenError, type TokenKeys } from "./token-verifier.ts";

const chainMax = 10;
const defaultAlgorithms = [
  ...["ES256", "ES384", "ES512", "EdDSA"],
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
];

interface TrustedKey {
  key: KeyObject;
  ids: readonly string[];
  alg?: string;
}
interface Anchors {
  keys: TrustedKey[];
  roots: X509Certificate[];
}

export class TrustedKeys implements TokenKeys {
  readonly algorithms: readonly string[];
  readonly #files: ReloadingFile<Anchors>[] = [];
  readonly #now: () => number;

  /** Throws GantryError invalid when nothing can be trusted. */
  constructor(
    options: ExternalTokenOptions,
    { logger, now = Date.now }: { logger: Logger; now?: () => number },
  ) {
    this.algorithms = options.algorithms ?? defaultAlgorithms;
    this.#now = now;
    const unsafe = this.algorithms.find((name) => !defaultAlgorithms.includes(name));
    if (unsafe !== undefined) {
      throw new GantryError("invalid", `Signatures by "${unsafe}" are not accepted for tokens`);
    }
    if (options.rootCertBundle !== undefined) {
      this.#files.push(new ReloadingFile(options.rootCertBundle, parseBundle, { logger }));
    }
    if (options.jwksFile !== undefined) {
      this.#files.push(new ReloadingFile(options.jwksFile, parseJwks, { logger }));
    }
    if (this.#files.length === 0) {
      throw new GantryError(
        "invalid",
        "An external token service needs rootCertBundle or jwksFile",
      );
    }
  }

  async check(): Promise<void> {
    await Promise.all(this.#files.map((file) => file.get()));
  }

  async find(header: JWTHeaderParameters): Promise<KeyObject> {
    const anchors = await Promise.all(this.#files.map((file) => file.get()));
    const keys = anchors.flatMap((anchor) => anchor.keys);
    if (header.x5c !== undefined) {
      return chainKey(
        header.x5c,
        anchors.flatMap((anchor) => anchor.roots),
        this.#now(),
      );
    }
    if (header.jwk !== undefined) {
      const thumbprint = await calculateJwkThumbprint(header.jwk as JWK).catch(() => "");
      return fitting(
        keys.find(({ ids }) => ids.includes(thumbprint)),
        header.alg,
      );
    }
    if (header.kid !== undefined) {
      return fitting(
        keys.find(({ ids }) => ids.includes(header.kid!)),
        header.alg,
      );
    }
    return fitting(keys.length === 1 ? keys[0] : undefined, header.alg);
  }
}

function fitting(trusted: TrustedKey | undefined, alg: string | undefined): KeyObject {
  if (!trusted) throw new TokenError("its key is not trusted", {});
  if (trusted.alg !== undefined && trusted.alg !== alg) {
    throw new TokenError("its key is for another algorithm", {});
  }
  return trusted.key;
}

/** The leaf's key, when each certificate is issued by the next and the last by a root. */
function chainKey(x5c: unknown, roots: readonly X509Certificate[], now: number): KeyObject {
  const refuse = (why: string, cause?: unknown) => new TokenError(`its x5c ${why}`, { cause });
  if (!Array.isArray(x5c) || x5c.length === 0 || x5c.length > chainMax) throw refuse("is no chain");
  let chain: X509Certificate[];
  try {
    chain = x5c.map((text) => new X509Certificate(Buffer.from(String(text), "base64")));
  } catch (cause) {
    throw refuse("is malformed", cause);
  }
  for (const [index, certificate] of chain.entries()) {
    if (!(certificate.validFromDate.getTime() <= now && now <= certificate.validToDate.getTime())) {
      throw refuse("has a certificate out of its time");
    }
    if (index > 0 && !certificate.ca) throw refuse("has an issuer that is no authority");
    if (roots.some((root) => root.fingerprint256 === certificate.fingerprint256)) {
      return chain[0]!.publicKey;
    }
    const issuers = index + 1 < chain.length ? [chain[index + 1]!] : roots;
    const issuer = issuers.find((candidate) => issued(candidate, certificate));
    if (!issuer) throw refuse("does not end at a trusted root");
    if (index + 1 === chain.length) {
      if (!issuer.ca) throw refuse("ends at a certificate that is no authority");
      if (!(issuer.validToDate.getTime() >= now)) throw refuse("ends at a root out of its time");
    }
  }
  return chain[0]!.publicKey;
}

function issued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

async function parseBundle(text: string): Promise<Anchors> {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new GantryError("invalid", "It has no PEM certificates");
  const roots = blocks.map((pem) => new X509Certificate(pem));
  const keys = await Promise.all(
    roots.map(async ({ publicKey }) => ({ key: publicKey, ids: await keyIds(publicKey) })),
  );
  return { keys, roots };
}

async function parseJwks(text: string): Promise<Anchors> {
  const parsed = JSON.parse(text) as { keys?: JWK[] } | JWK;
  const jwks = "keys" in parsed && Array.isArray(parsed.keys) ? parsed.keys : [parsed as JWK];
  const keys = await Promise.all(
    jwks.map(async (jwk): Promise<TrustedKey> => {
      if (jwk.kty === "oct") throw new GantryError("invalid", "A shared secret is no public key");
      const key = createPublicKey({ key: jwk as never, format: "jwk" });
      const ids = await keyIds(key);
      return {
        key,
        ids: jwk.kid === undefined ? ids : [jwk.kid, ...ids],
        ...(jwk.alg === undefined ? {} : { alg: jwk.alg }),
      };
    }),
  );
  if (keys.length === 0) throw new GantryError("invalid", "It has no keys");
  return { keys, roots: [] };
}

/** RFC 7638's thumbprint, and libtrust's id, which docker's registry 2.x used. */
async function keyIds(key: KeyObject): Promise<string[]> {
  const thumbprint = await calculateJwkThumbprint(key.export({ format: "jwk" }) as JWK);
  const der = key.export({ type: "spki", format: "der" });
  const hash = createHash("sha256").update(der).digest().subarray(0, 30);
  return [thumbprint, base32(hash).match(/.{4}/g)!.join(":")];
}

function base32(bytes: Uint8Array): string {
  let bits = "";
  for (const byte of bytes) bits += byte.toString(2).padStart(8, "0");
  return bits.replace(
    /.{5}/g,
    (five) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[Number.parseInt(five, 2)]!,
  );
}
