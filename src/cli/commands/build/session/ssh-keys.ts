// Private key files of --ssh, in the forms that ssh-keygen and openssl write: OpenSSH's own
// (PROTOCOL.key) and PEM. The cryptography is node:crypto's; here is only what ssh says otherwise:
// how its files, public keys and signatures are laid out (decision 174).

import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { GantryError } from "../../../../base/index.ts";
import { SshReader, sshInteger, sshString } from "./ssh-wire.ts";

export interface SshKey {
  /** The public key, as an agent lists it. */
  blob: Buffer;
  /** A signature, as an agent answers it. `flags` as in a sign request. */
  sign(data: Buffer, flags: number): Buffer;
}

/** Flags of a sign request (draft-ietf-sshm-ssh-agent, section 3.6.1). */
export const RSA_SHA2_256 = 2;
export const RSA_SHA2_512 = 4;

const OPENSSH_MAGIC = "openssh-key-v1\0";
const CURVES: Readonly<Record<string, { ssh: string; hash: string }>> = {
  "P-256": { ssh: "nistp256", hash: "sha256" },
  "P-384": { ssh: "nistp384", hash: "sha384" },
  "P-521": { ssh: "nistp521", hash: "sha512" },
};

/** Throws invalid for what is no private key, and for one with a passphrase. */
export function parseSshKey(text: string): SshKey {
  const block = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n([\s\S]*?)-----END \1-----/.exec(text);
  if (!block) throw new GantryError("invalid", "ssh: no key found");
  const [pem, kind, body] = block as unknown as [string, string, string];
  if (kind === "OPENSSH PRIVATE KEY") return ofKey(readOpenSsh(Buffer.from(body, "base64")));
  if (kind === "ENCRYPTED PRIVATE KEY" || /^Proc-Type: 4,ENCRYPTED/m.test(body)) throw locked();
  try {
    return ofKey(createPrivateKey(pem));
  } catch (cause) {
    if (cause instanceof GantryError) throw cause;
    throw new GantryError("invalid", `ssh: unsupported key type ${JSON.stringify(kind)}`, {
      cause,
    });
  }
}

function locked(): GantryError {
  return new GantryError(
    "invalid",
    "ssh: this private key is passphrase protected: load it into an agent " +
      "(eval $(ssh-agent); ssh-add) and give the agent's socket, or nothing, in place of the file",
  );
}

function readOpenSsh(bytes: Buffer): KeyObject {
  const file = new SshReader(bytes);
  if (!file.starts(OPENSSH_MAGIC)) {
    throw new GantryError("invalid", "ssh: invalid openssh private key format");
  }
  file.skip(OPENSSH_MAGIC.length);
  const [cipher, kdf] = [file.text(), file.text()];
  file.string();
  if (cipher !== "none" || kdf !== "none") throw locked();
  if (file.number() !== 1) throw new GantryError("invalid", "ssh: multi-key files are unsupported");
  file.string();
  const key = new SshReader(file.string());
  const [check, again] = [key.number(), key.number()];
  if (check !== again) {
    throw new GantryError("invalid", "ssh: malformed OpenSSH key");
  }
  try {
    return createPrivateKey({ key: jwkOf(key), format: "jwk" });
  } catch (cause) {
    if (cause instanceof GantryError) throw cause;
    throw new GantryError("invalid", "ssh: malformed OpenSSH key", { cause });
  }
}

function jwkOf(key: SshReader): Record<string, string> {
  const type = key.text();
  if (type === "ssh-ed25519") {
    const x = key.string();
    return { kty: "OKP", crv: "Ed25519", x: url(x), d: url(key.string().subarray(0, 32)) };
  }
  if (type === "ssh-rsa") {
    const [n, e, d, qi, p, q] = Array.from({ length: 6 }, () => positive(key.string()));
    const remainder = (prime: Buffer): string => url(fromBig(big(d!) % (big(prime) - 1n)));
    return {
      ...{ kty: "RSA", n: url(n!), e: url(e!), d: url(d!), p: url(p!), q: url(q!), qi: url(qi!) },
      ...{ dp: remainder(p!), dq: remainder(q!) },
    };
  }
  const curve = Object.entries(CURVES).find(([, { ssh }]) => type === `ecdsa-sha2-${ssh}`);
  if (!curve) throw unsupported(type);
  key.string();
  const point = key.string();
  const half = (point.length - 1) / 2;
  const d = positive(key.string());
  const padded = Buffer.concat([Buffer.alloc(Math.max(0, half - d.length)), d]);
  return {
    ...{ kty: "EC", crv: curve[0], x: url(point.subarray(1, 1 + half)) },
    ...{ y: url(point.subarray(1 + half)), d: url(padded) },
  };
}

function unsupported(type: string): GantryError {
  return new GantryError("invalid", `ssh: unsupported key type ${JSON.stringify(type)}`);
}

function ofKey(key: KeyObject): SshKey {
  const { kty, crv = "", n = "", e = "", x = "", y = "" } = key.export({ format: "jwk" });
  if (kty === "RSA") {
    const parts = [sshString("ssh-rsa"), sshInteger(bytesOf(e)), sshInteger(bytesOf(n))];
    return { blob: Buffer.concat(parts), sign: (data, flags) => signRsa(key, data, flags) };
  }
  if (kty === "OKP" && crv === "Ed25519") {
    const type = sshString("ssh-ed25519");
    return {
      blob: Buffer.concat([type, sshString(bytesOf(x))]),
      sign: (data) => Buffer.concat([type, sshString(sign(null, data, key))]),
    };
  }
  const curve = CURVES[crv];
  if (kty !== "EC" || !curve) throw unsupported(crv || (kty ?? ""));
  const type = sshString(`ecdsa-sha2-${curve.ssh}`);
  const point = Buffer.concat([Buffer.of(4), bytesOf(x), bytesOf(y)]);
  return {
    blob: Buffer.concat([type, sshString(curve.ssh), sshString(point)]),
    sign(data) {
      const raw = sign(curve.hash, data, { key, dsaEncoding: "ieee-p1363" });
      const [r, s] = [raw.subarray(0, raw.length / 2), raw.subarray(raw.length / 2)];
      return Buffer.concat([type, sshString(Buffer.concat([sshInteger(r), sshInteger(s)]))]);
    },
  };
}

function signRsa(key: KeyObject, data: Buffer, flags: number): Buffer {
  const [format, hash] =
    flags & RSA_SHA2_512
      ? ["rsa-sha2-512", "sha512"]
      : flags & RSA_SHA2_256
        ? ["rsa-sha2-256", "sha256"]
        : ["ssh-rsa", "sha1"];
  return Buffer.concat([sshString(format!), sshString(sign(hash, data, key))]);
}

/** Without the zero that keeps an ssh integer from being negative. */
function positive(integer: Buffer): Buffer {
  let start = 0;
  while (start < integer.length - 1 && integer[start] === 0) start++;
  return integer.subarray(start);
}

const url = (bytes: Buffer): string => bytes.toString("base64url");
const bytesOf = (text: string): Buffer => Buffer.from(text, "base64url");
const big = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString("hex") || "0"}`);

function fromBig(value: bigint): Buffer {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
}
