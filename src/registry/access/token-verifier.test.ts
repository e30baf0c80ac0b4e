import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { SignJWT } from "jose";
import { TokenError, TokenVerifier } from "./token-verifier.ts";

const now = Date.UTC(2026, 0, 1);
const seconds = now / 1000;
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });
const keys = {
  algorithms: ["ES256", "RS256"],
  find: async ({ kid }: { kid?: string }): Promise<KeyObject> => {
    if (kid === "ec") return ec.publicKey;
    if (kid === "rsa") return rsa.publicKey;
    throw new TokenError("its key is not trusted", {});
  },
};
const verifier = () => new TokenVerifier({ keys, issuer: "us", now: () => now });

interface Made {
  header?: Record<string, unknown>;
  claims?: Record<string, unknown>;
  key?: KeyObject;
}
function make({ header = {}, claims = {}, key = ec.privateKey }: Made = {}): Promise<string> {
  const good = {
    ...{ iss: "us", aud: "registry", sub: "ann", iat: seconds, nbf: seconds, exp: seconds + 300 },
    access: [{ type: "repository", name: "a", actions: ["pull"] }],
  };
  return new SignJWT({ ...good, ...claims })
    .setProtectedHeader({ alg: "ES256", kid: "ec", typ: "JWT", ...header })
    .sign(key);
}
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

async function refused(token: string): Promise<void> {
  await assert.rejects(verifier().verify(token, "registry"), TokenError);
}

test("a good token says who and what, with either algorithm", async () => {
  const expected = {
    subject: "ann",
    access: [{ type: "repository", name: "a", actions: ["pull"] }],
  };
  assert.deepEqual(await verifier().verify(await make(), "registry"), expected);
  const token = await make({ header: { alg: "RS256", kid: "rsa" }, key: rsa.privateKey });
  assert.deepEqual(await verifier().verify(token, "registry"), expected);
});

test("claims that are wrong, early or late are refused", async () => {
  const hour = 3600;
  for (const claims of [
    { aud: "another" },
    { aud: undefined },
    { iss: "them" },
    { exp: seconds - 61 },
    { exp: undefined },
    { nbf: seconds + hour },
    { exp: "tomorrow" },
  ]) {
    await refused(await make({ claims }));
  }
});

test("a minute of clock skew is forgiven, either way", async () => {
  const verify = async (claims: Record<string, unknown>) =>
    verifier().verify(await make({ claims }), "registry");
  await verify({ exp: seconds - 30 });
  await verify({ nbf: seconds + 30, iat: seconds + 30 });
});

test("an expired token is told apart, so that clients get a new one", async () => {
  await assert.rejects(
    verifier().verify(await make({ claims: { exp: seconds - hourAgo } }), "registry"),
    (error: unknown) => error instanceof TokenError && error.expired,
  );
});
const hourAgo = 3600;

test("unsigned tokens are refused however they say it", async () => {
  const [, claims] = (await make()).split(".");
  for (const alg of ["none", "None", "NONE", "", null]) {
    const header = encode({ alg, kid: "ec", typ: "JWT" });
    await refused(`${header}.${claims}.`);
    await refused(`${header}.${claims}.AAAA`);
  }
});

test("a public key is no shared secret", async () => {
  for (const pair of [ec, rsa]) {
    const kid = pair === ec ? "ec" : "rsa";
    for (const format of ["pem", "der"] as const) {
      const secret = pair.publicKey.export({ type: "spki", format: format as "pem" });
      const [, claims] = (await make()).split(".");
      const input = `${encode({ alg: "HS256", kid, typ: "JWT" })}.${claims}`;
      const signature = createHmac("sha256", secret).update(input).digest("base64url");
      await refused(`${input}.${signature}`);
    }
  }
});

test("a key of the wrong kind, an unknown key and a stranger's signature are refused", async () => {
  await refused(await make({ header: { kid: "rsa" } }));
  await refused(await make({ header: { kid: "other" } }));
  await refused(await make({ header: { kid: undefined } }));
  await refused(await make({ key: stranger.privateKey }));
  const jwk = stranger.publicKey.export({ format: "jwk" });
  await refused(await make({ header: { jwk }, key: stranger.privateKey }));
});

test("a refresh token is no access token, and critical extensions are not ignored", async () => {
  await refused(await make({ header: { typ: "refresh+jwt" } }));
  const [, claims] = (await make()).split(".");
  await refused(`${encode({ alg: "ES256", kid: "ec", crit: ["x"], x: 1 })}.${claims}.AAAA`);
});

test("no mutation of a good token is taken, and none crashes", async () => {
  const good = await make();
  await fc.assert(
    fc.asyncProperty(
      fc.nat(good.length - 1),
      fc.constantFrom("A", "_", ".", "="),
      async (at, char) => {
        const changed = good.slice(0, at) + char + good.slice(at + 1);
        // The last character of a signature has bits that mean nothing.
        if (changed === good || at === good.length - 1) return;
        await refused(changed);
      },
    ),
    { numRuns: 60 },
  );
  await fc.assert(fc.asyncProperty(fc.string({ unit: "binary" }), refused), { numRuns: 60 });
});

test("an access claim that is not as it should be grants nothing", async () => {
  for (const access of [
    null,
    "all",
    [{ type: "repository", name: "a", actions: "*" }],
    [{ type: "repository", name: ["a"], actions: ["*"] }],
    [{ type: "*", name: "a", actions: ["*"] }],
    [null, 7],
  ]) {
    const token = await verifier().verify(await make({ claims: { access } }), "registry");
    assert.deepEqual(token.access, []);
  }
  const odd = [{ type: "repository", name: "a", actions: ["pull", "fly", 7] }];
  const token = await verifier().verify(await make({ claims: { access: odd } }), "registry");
  assert.deepEqual(token.access[0]?.actions, ["pull"]);
});

test("a token that was good is refused when its time is over, and for another audience", async () => {
  let clock = now;
  const one = new TokenVerifier({ keys, issuer: "us", now: () => clock });
  const token = await make();
  await one.verify(token, "registry");
  await assert.rejects(one.verify(token, "another"), TokenError);
  clock = now + 400_000;
  await assert.rejects(one.verify(token, "registry"), TokenError);
});
