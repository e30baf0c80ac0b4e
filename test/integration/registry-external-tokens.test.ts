// Tokens of an external service: which keys a registry takes, and which it must never take.

import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { calculateJwkThumbprint, SignJWT } from "jose";
import type { RequestFacts } from "../../src/registry/contract.ts";
import { createAccess, RegistryError } from "../../src/registry/index.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";

let folder: string;
let root: Certificate;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-tokens-"));
  root = makeCertificate({ commonName: "root", authority: true });
  await writeFile(join(folder, "roots.pem"), root.pem);
});
after(() => rm(folder, { recursive: true, force: true }));

const pull = { type: "repository", name: "a", actions: ["pull"] } as const;

function facts(token: string): RequestFacts {
  return {
    id: "1",
    method: "GET",
    url: new URL("http://registry:5000/v2/a/tags/list"),
    authorization: `Bearer ${token}`,
    remoteAddress: "127.0.0.1",
    userAgent: "",
  };
}

function token(header: Record<string, unknown>, key: KeyObject): Promise<string> {
  return new SignJWT({ access: [pull] })
    .setProtectedHeader({ alg: "ES256", typ: "JWT", ...header })
    .setIssuer("issuer")
    .setAudience("service")
    .setSubject("ann")
    .setExpirationTime("5m")
    .sign(key);
}

async function admit(
  header: Record<string, unknown>,
  key: KeyObject,
  source: { rootCertBundle?: string; jwksFile?: string } = {
    rootCertBundle: join(folder, "roots.pem"),
  },
): Promise<string> {
  const { gatekeeper } = await createAccess({
    authentication: {
      type: "external-token",
      realm: "https://auth.example/token",
      service: "service",
      issuer: "issuer",
      ...source,
    },
  });
  const made = facts(await token(header, key));
  return (await gatekeeper.admit(made, [{ ...pull, actions: ["pull"] }])).subject;
}

function refused(header: Record<string, unknown>, key: KeyObject): Promise<void> {
  return assert.rejects(
    admit(header, key),
    (error: unknown) =>
      error instanceof RegistryError &&
      error.status === 401 &&
      error.headers["WWW-Authenticate"] ===
        'Bearer realm="https://auth.example/token",service="service",scope="repository:a:pull",error="invalid_token"',
  );
}

const x5c = (...chain: Certificate[]) => ({ x5c: chain.map(({ der }) => der.toString("base64")) });

test("a token signed by the root's own key is taken, by every name of the key", async () => {
  const jwk = root.key.export({ format: "jwk" });
  const { d: _, ...publicJwk } = jwk;
  const kid = await calculateJwkThumbprint(publicJwk as never);
  assert.equal(await admit({ kid }, root.key), "ann");
  assert.equal(await admit({ jwk: publicJwk }, root.key), "ann");
  assert.equal(await admit(x5c(root), root.key), "ann");
  assert.equal(await admit({}, root.key), "ann");
});

test("a chain to a root is taken, also over an intermediate", async () => {
  const leaf = makeCertificate({ commonName: "leaf", issuer: root });
  assert.equal(await admit(x5c(leaf), leaf.key), "ann");
  assert.equal(await admit(x5c(leaf, root), leaf.key), "ann");
  const middle = makeCertificate({ commonName: "middle", issuer: root, authority: true });
  const below = makeCertificate({ commonName: "below", issuer: middle });
  assert.equal(await admit(x5c(below, middle), below.key), "ann");
});

test("a key or a chain in the header that is not anchored is never taken", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await refused({ jwk: publicKey.export({ format: "jwk" }) }, privateKey);
  await refused({ kid: "anything" }, privateKey);
  await refused({ jku: "https://evil.example/keys" }, privateKey);
  const own = makeCertificate({ commonName: "root", authority: true });
  await refused(x5c(own), own.key);
  const leaf = makeCertificate({ commonName: "leaf", issuer: own });
  await refused(x5c(leaf, own), leaf.key);
  await refused(x5c(leaf, root), leaf.key);
  await refused({ x5c: [] }, own.key);
  await refused({ x5c: ["AAAA"] }, own.key);
  await refused({ x5c: "AAAA" }, own.key);
  await refused({ x5c: Array(50).fill(root.der.toString("base64")) }, own.key);
});

test("a chain through a certificate that is no authority, or out of its time, is refused", async () => {
  const plain = makeCertificate({ commonName: "plain", issuer: root });
  const leaf = makeCertificate({ commonName: "leaf", issuer: plain });
  await refused(x5c(leaf, plain), leaf.key);
  const hour = 3_600_000;
  const old = makeCertificate({
    commonName: "old",
    issuer: root,
    notAfter: new Date(Date.now() - hour),
  });
  await refused(x5c(old), old.key);
  const early = makeCertificate({
    commonName: "early",
    issuer: root,
    notBefore: new Date(Date.now() + hour),
  });
  await refused(x5c(early), early.key);
});

test("a JWKS file is trusted, and a new one without a restart", async () => {
  const jwksFile = join(folder, "jwks.json");
  const write = async (kid: string) => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const keys = [{ ...publicKey.export({ format: "jwk" }), kid, alg: "ES256" }];
    await writeFile(jwksFile, JSON.stringify({ keys }));
    return privateKey;
  };
  const first = await write("first");
  assert.equal(await admit({ kid: "first" }, first, { jwksFile }), "ann");
  const second = await write("second");
  assert.equal(await admit({ kid: "second" }, second, { jwksFile }), "ann");
  await assert.rejects(admit({ kid: "first" }, first, { jwksFile }), /the token is not valid/);
});

test("configurations that could trust anybody are refused", async () => {
  const bad = (options: object) =>
    createAccess({
      authentication: {
        ...{ type: "external-token", realm: "https://a/", service: "s", issuer: "i" },
        ...options,
      } as never,
    });
  const rootCertBundle = join(folder, "roots.pem");
  await assert.rejects(bad({}), /needs rootCertBundle or jwksFile/);
  await assert.rejects(bad({ rootCertBundle, algorithms: ["none"] }), /"none"/);
  await assert.rejects(bad({ rootCertBundle, algorithms: ["HS256"] }), /"HS256"/);
  const secret = join(folder, "secret.json");
  await writeFile(secret, JSON.stringify({ keys: [{ kty: "oct", k: "c2VjcmV0" }] }));
  await assert.rejects(bad({ jwksFile: secret }), /shared secret/);
  await assert.rejects(bad({ rootCertBundle: join(folder, "missing") }), /ENOENT/);
});
