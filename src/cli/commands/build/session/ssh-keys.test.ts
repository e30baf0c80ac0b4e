// Keys as ssh-keygen writes them, made for this file alone, and what an agent with them answers:
// every signature is verified by node:crypto with the public half.

import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { describe, test } from "node:test";
import { answerWith } from "./ssh.ts";
import { parseSshKey, RSA_SHA2_256, RSA_SHA2_512 } from "./ssh-keys.ts";
import { SshReader, sshInteger, sshNumber, sshString } from "./ssh-wire.ts";

const ED25519 = openSsh(`
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACDIKvTQS94zSPjiuCEPGt38rt57r/AgvROHv0CtLzDlxQAAAIj/uyw3/7ss
NwAAAAtzc2gtZWQyNTUxOQAAACDIKvTQS94zSPjiuCEPGt38rt57r/AgvROHv0CtLzDlxQ
AAAEDvkrRVW6Sy3ymJAlSiuN6EUa3jiXbnhLYlDl3yiBLRz8gq9NBL3jNI+OK4IQ8a3fyu
3nuv8CC9E4e/QK0vMOXFAAAAAWMBAgME`);

const ECDSA = openSsh(`
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS
1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQTofSyceGqt2l/HZ8uHDZJ4madVWTt5
JFHk+BfsyEs6liueoQwaStqssHvivL2n8KmHO5ck7tLULWju84KDtZf7AAAAoHUC5yp1Au
cqAAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOh9LJx4aq3aX8dn
y4cNkniZp1VZO3kkUeT4F+zISzqWK56hDBpK2qywe+K8vafwqYc7lyTu0tQtaO7zgoO1l/
sAAAAgQhpgipHEqEs1vFSSRf4ft2kPnZOdRbMogMxZxzPDKMwAAAABYwECAwQFBgc=`);

const RSA = openSsh(`
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAlwAAAAdzc2gtcn
NhAAAAAwEAAQAAAIEAyVK2KWCetElblxnJLDHncS+vKHVQ+d2hDe4H0J+p6qiWfjlnwrVP
NIYfAheZ7b1hLuVgF944oJN0ARfWkEP0VzZMaMoQp/zhOQ8yV28IWEw+Avpzz7PuZSADOY
r4KQ+vJu9kdUBmFgMFA4ZOR3F0bmRZotvNYc/aFsb+cs0aCscAAAH4DPm3uAz5t7gAAAAH
c3NoLXJzYQAAAIEAyVK2KWCetElblxnJLDHncS+vKHVQ+d2hDe4H0J+p6qiWfjlnwrVPNI
YfAheZ7b1hLuVgF944oJN0ARfWkEP0VzZMaMoQp/zhOQ8yV28IWEw+Avpzz7PuZSADOYr4
KQ+vJu9kdUBmFgMFA4ZOR3F0bmRZotvNYc/aFsb+cs0aCscAAAADAQABAAAAgH8Zj9WZoT
hS49cGOYKEUwibQSr6vc+xwz8HGrn0QxLZsoEn/sDnNIUFc8gfXFfCavtvZnZLHlcKIH+c
LCLSNAxIi5xYmbfjV4v7Ft+s/HBtde8XtXeOYWjF7Vm7KG4ZDuzRlZ5Bvp2avW6OJO26m8
Y28E8t5ZTWXMKz1/GKSjoRAAAAQCP/5O9vv+k01g/FtGpD/YbsCi2WrE1XkyoAsn0fp9jY
KmQATq7/xcYspqME709XVdZE/77+RzCjRWZq6lioiGMAAABBAOga1IwLYtE+m68Dvok9oU
qhRdh31P6b0bRo9xAmUsfPRP2M7HR53XTLq122xcsSLAqMAvRHj9Mlx2emXBKarkkAAABB
AN4Mn3iO71I13VR7kzZcwFy0r7u19LUhhzEuZGhnvds+aCtIP+U6yQVZG7LjOkBQmHLx+W
76EbEo5au9s1vdMI8AAAABYwEC`);

const LOCKED = openSsh(`
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDaR7Dkf6
3hZzdPtL0FQTMhAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIIy29OktpLAFsXfd
u9jiB+gTSfo78hdgU+vpAh1cKEhuAAAAkLOxijfIJp3/HYHOPc4jgj2MKTSe/QD0sPEt5c
d5OaqdB+80Oi8VTFSQauxa06/FGXkqWup/E4oin1EK/2om0kEQ4tU6CrGShKcZGy9fkrl+
qmLCmyBPysw9yA9DRRM3nRDFsXHElNKxdOmlp1QNc/+F1YhCyb0sDnaXYbXvFd2vzD5srj
5KQd0a1g5dohRz+Q==`);

function openSsh(body: string): string {
  return `-----BEGIN OPENSSH PRIVATE KEY-----${body}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

const DATA = Buffer.from("what is signed");
const url = (bytes: Buffer): string => bytes.toString("base64url");

function publicKey(blob: Buffer) {
  const fields = new SshReader(blob);
  const type = fields.text();
  const jwk = (): Record<string, string> => {
    if (type === "ssh-ed25519") return { kty: "OKP", crv: "Ed25519", x: url(fields.string()) };
    if (type === "ssh-rsa") return { kty: "RSA", e: url(fields.string()), n: url(fields.string()) };
    fields.string();
    const point = fields.string().subarray(1);
    const half = point.length / 2;
    const [x, y] = [url(point.subarray(0, half)), url(point.subarray(half))];
    return { kty: "EC", crv: half === 32 ? "P-256" : half === 48 ? "P-384" : "P-521", x, y };
  };
  return createPublicKey({ key: jwk(), format: "jwk" });
}

/** The format and the bytes of an answer's signature. */
function asked(key: ReturnType<typeof parseSshKey>, flags: number): [string, Buffer] {
  const request = [Buffer.of(13), sshString(key.blob), sshString(DATA), sshNumber(flags)];
  const answer = answerWith([key], Buffer.concat(request));
  assert.equal(answer[0], 14);
  const signature = new SshReader(new SshReader(answer.subarray(1)).string());
  return [signature.text(), signature.string()];
}

function integers(signature: Buffer, width: number): Buffer {
  const reader = new SshReader(signature);
  const padded = () => {
    const bytes = reader.string();
    return Buffer.concat([Buffer.alloc(width), bytes]).subarray(-width);
  };
  return Buffer.concat([padded(), padded()]);
}

describe("private key files of --ssh", () => {
  test("an Ed25519 key of ssh-keygen signs", () => {
    const key = parseSshKey(ED25519);
    const known = "AAAAC3NzaC1lZDI1NTE5AAAAIMgq9NBL3jNI+OK4IQ8a3fyu3nuv8CC9E4e/QK0vMOXF";
    assert.equal(key.blob.toString("base64"), known);
    const [format, signature] = asked(key, 0);
    assert.equal(format, "ssh-ed25519");
    assert.ok(verify(null, DATA, publicKey(key.blob), signature));
  });

  test("ECDSA keys sign by their curve's hash, from either form of file", () => {
    const curves = [
      ["P-256", "nistp256", "sha256", 32],
      ["P-384", "nistp384", "sha384", 48],
      ["P-521", "nistp521", "sha512", 66],
    ] as const;
    for (const [namedCurve, name, hash, width] of curves) {
      const made = generateKeyPairSync("ec", { namedCurve }).privateKey;
      const pems = [
        made.export({ format: "pem", type: "sec1" }),
        made.export({ format: "pem", type: "pkcs8" }),
      ];
      for (const pem of namedCurve === "P-256" ? [...pems, ECDSA] : pems) {
        const key = parseSshKey(String(pem));
        const [format, signature] = asked(key, 0);
        assert.equal(format, `ecdsa-sha2-${name}`);
        const verifier = { key: publicKey(key.blob), dsaEncoding: "ieee-p1363" } as const;
        assert.ok(verify(hash, DATA, verifier, integers(signature, width)));
      }
    }
  });

  test("an RSA key signs by the hash that is asked for", () => {
    const made = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
    const pem = String(made.export({ format: "pem", type: "pkcs1" }));
    for (const key of [parseSshKey(RSA), parseSshKey(pem)]) {
      const forms = [
        [0, "ssh-rsa", "sha1"],
        [RSA_SHA2_256, "rsa-sha2-256", "sha256"],
        [RSA_SHA2_512, "rsa-sha2-512", "sha512"],
      ] as const;
      for (const [flags, format, hash] of forms) {
        const [told, signature] = asked(key, flags);
        assert.equal(told, format);
        assert.ok(verify(hash, DATA, publicKey(key.blob), signature));
      }
    }
  });

  test("a key with a passphrase, and what is no key, are refused with the reason", () => {
    assert.throws(() => parseSshKey(LOCKED), /passphrase protected.*ssh-add/);
    const { privateKey } = generateKeyPairSync("ed25519");
    const cipher = { cipher: "aes-128-cbc", passphrase: "secret" } as const;
    const sealed = privateKey.export({ format: "pem", type: "pkcs8", ...cipher });
    assert.throws(() => parseSshKey(String(sealed)), /passphrase protected/);
    assert.throws(() => parseSshKey("ssh-ed25519 AAAA comment"), /no key found/);
    assert.throws(() => parseSshKey(openSsh("\nAAAA")), /invalid openssh private key format/);
    for (let length = 24; length < 200; length += 8) {
      const cut = ED25519.split("\n").slice(1, -2).join("").slice(0, length);
      assert.throws(() => parseSshKey(openSsh(`\n${cut}`)), { name: "GantryError" });
    }
    const dsa = "-----BEGIN DSA PRIVATE KEY-----\nMIIB\n-----END DSA PRIVATE KEY-----\n";
    assert.throws(() => parseSshKey(dsa), /unsupported key type "DSA PRIVATE KEY"/);
  });

  test("an agent of keys lists them in order, and answers anything else by a failure", () => {
    const keys = [parseSshKey(ED25519), parseSshKey(ECDSA)];
    const list = new SshReader(answerWith(keys, Buffer.of(11)).subarray(1));
    assert.equal(list.number(), 2);
    for (const { blob } of keys) {
      assert.deepEqual(list.string(), blob);
      assert.equal(list.text(), "");
    }
    assert.ok(list.atEnd);
    const unknown = Buffer.concat([Buffer.of(13), sshString("other"), sshString(DATA)]);
    for (const question of [unknown, Buffer.of(13), Buffer.from("0d0000ffff00", "hex")]) {
      assert.deepEqual(answerWith(keys, question), Buffer.of(5));
    }
  });

  test("integers have no needless zeroes, and one where they would be negative", () => {
    assert.equal(sshInteger(Buffer.of(0, 0, 0x7f)).toString("hex"), "000000017f");
    assert.equal(sshInteger(Buffer.of(0x80)).toString("hex"), "000000020080");
    assert.equal(sshInteger(Buffer.of(0)).toString("hex"), "00000000");
  });
});
