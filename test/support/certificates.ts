// X.509 certificates for tests, written as DER by hand: no program of the host is needed, and tests
// can make the odd ones (expired, no authority, another issuer) that tools refuse to make.

import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";

export interface Certificate {
  pem: string;
  der: Buffer;
  key: KeyObject;
  keyPem: string;
  commonName: string;
}

/** Signed by `issuer`, or by itself; ECDSA over P-256. */
export function makeCertificate(options: {
  commonName: string;
  issuer?: Certificate;
  authority?: boolean;
  notBefore?: Date;
  notAfter?: Date;
  addresses?: string[];
  /** Keeps the key of another certificate. */
  key?: KeyObject;
}): Certificate {
  const key = options.key ?? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const signer = options.issuer?.key ?? key;
  const day = 86_400_000;
  const algorithm = sequence(oid("2a8648ce3d040302")); // ecdsa-with-SHA256
  const extensions = [extension("551d13", sequence(...(options.authority ? [boolean(true)] : [])))];
  if (options.addresses) {
    const names = options.addresses.map((address) => tagged(0x87, ipv4(address)));
    extensions.push(extension("551d11", sequence(...names)));
  }
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    name(options.issuer?.commonName ?? options.commonName),
    sequence(
      time(options.notBefore ?? new Date(Date.now() - day)),
      time(options.notAfter ?? new Date(Date.now() + day)),
    ),
    name(options.commonName),
    publicKey(key),
    tagged(0xa3, sequence(...extensions)),
  );
  const signature = sign("sha256", body, signer);
  const der = sequence(body, algorithm, tagged(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const lines = der
    .toString("base64")
    .match(/.{1,64}/g)!
    .join("\n");
  return {
    der,
    key,
    pem: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    keyPem: key.export({ type: "pkcs8", format: "pem" }) as string,
    commonName: options.commonName,
  };
}

function publicKey(key: KeyObject): Buffer {
  const jwk = createPrivateKey(key.export({ type: "pkcs8", format: "pem" })).export({
    format: "jwk",
  });
  const point = [jwk.x!, jwk.y!].map((part) => Buffer.from(part, "base64url"));
  const algorithm = sequence(oid("2a8648ce3d0201"), oid("2a8648ce3d030107"));
  return sequence(algorithm, tagged(0x03, Buffer.concat([Buffer.from([0, 4]), ...point])));
}

function name(commonName: string): Buffer {
  return sequence(tagged(0x31, sequence(oid("550403"), tagged(0x0c, Buffer.from(commonName)))));
}

function extension(id: string, value: Buffer): Buffer {
  return sequence(oid(id), tagged(0x04, value));
}

function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, "");
  return tagged(0x18, Buffer.from(digits));
}

function ipv4(address: string): Buffer {
  return Buffer.from(address.split(".").map(Number));
}

function boolean(value: boolean): Buffer {
  return tagged(0x01, Buffer.from([value ? 0xff : 0]));
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}

function oid(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, "hex"));
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const bytes = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}
