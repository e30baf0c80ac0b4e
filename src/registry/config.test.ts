import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress, parseConfig } from "./config.ts";

const FILE = "/etc/gantry/registry.yml";
const parse = (yaml: string) => parseConfig(FILE, yaml);
const refused = (yaml: string, ...sentences: (string | RegExp)[]) => {
  let message = "";
  try {
    parse(yaml);
  } catch (error) {
    message = (error as Error).message;
  }
  for (const sentence of sentences) {
    const found =
      typeof sentence === "string" ? message.includes(sentence) : sentence.test(message);
    assert.ok(found, `${sentence} is not in: ${message}`);
  }
};

test("an empty file is a configuration, and so is one of comments", () => {
  for (const yaml of ["", "\n", "# nothing\n\n  # at all\n"]) assert.deepEqual(parse(yaml), {});
});

test("sizes, times and paths are read as people write them", () => {
  assert.deepEqual(
    parse(`
addr: ":5000"
root: images
limits: { blobBytesMax: 2GiB, idleMsMax: 90s }
access:
  authentication: { type: token, keyFile: /keys.jwks, rotateDays: 30d, tokenSeconds: 10m }
  policies:
    - { users: 42, actions: pull, repositories: ["a/*", b] }
  rateLimits: { failedLogins: false }
web: false
`),
    {
      addr: [":5000"],
      root: "/etc/gantry/images",
      limits: { blobBytesMax: 2 * 1024 ** 3, idleMsMax: 90_000 },
      access: {
        authentication: {
          type: "token",
          keyFile: "/keys.jwks",
          rotateDays: 30,
          tokenSeconds: 600,
        },
        policies: [{ users: ["42"], actions: ["pull"], repositories: ["a/*", "b"] }],
        rateLimits: { failedLogins: false },
      },
      web: false,
    },
  );
});

test("each mistake is named with its line and column", () => {
  refused(
    "root: 5\nreadonly: true\ntls:\n  key: k\naddr: [localhost]\n",
    `${FILE}:1:7: root must be a text`,
    `${FILE}:2:1: unknown key "readonly" in the file: did you mean "readOnly"?`,
    `${FILE}:4:3: tls.certificate is missing`,
    `${FILE}:5:8: addr[0] must be HOST:PORT`,
  );
  refused("root: a\nroot: b\n", /:2:1: Map keys must be unique/);
  refused("root: [", new RegExp(`^${FILE}:\\d`));
  refused("- a\n", "the file must be a mapping");
  refused("tls:\n", "tls must be a mapping");
  refused("root: a\ns3: { bucket: b }\n", "root and s3 exclude one another");
  refused("s3: { buckt: b }\n", `${FILE}:1:5: s3: `, 'unknown option "buckt"');
});

test("the keys of authentication are those of its type", () => {
  const type = (rest: string) => `access: { authentication: { ${rest} } }`;
  refused(type("type: basic"), "must be a mapping whose type is one of htpasswd, token");
  refused(type("type: htpasswd"), "access.authentication.file is missing");
  refused(type("type: htpasswd, file: f, keyFile: k"), 'unknown key "keyFile"');
  refused(type("type: certificate, file: f"), 'unknown key "file"');
  refused("access: { authentication: htpasswd }", "must be a mapping whose type");
});

test("a list within a list knows where it is", () => {
  refused(
    "access:\n  policies:\n    - { actions: [pull, fly] }\n",
    `${FILE}:3:25: access.policies[0].actions[1] must be "pull" or "push"`,
  );
});

test("aliases are followed, but not without end", () => {
  const { access } = parse("access:\n  groups: { a: &people [ada, bob], b: *people }\n");
  assert.deepEqual(access?.groups, { a: ["ada", "bob"], b: ["ada", "bob"] });
  const levels = Array.from({ length: 12 }, (_, level) =>
    level === 0
      ? "  l0: &l0 [x, x, x, x, x, x, x, x, x]"
      : `  l${level}: &l${level} [${Array(9)
          .fill(`*l${level - 1}`)
          .join(", ")}]`,
  );
  refused(`access:\n groups:\n${levels.join("\n")}\n`, "alias");
});

test("addresses are host and port", () => {
  assert.deepEqual(parseAddress(":5000"), { host: "::", port: 5000 });
  assert.deepEqual(parseAddress("[::1]:0"), { host: "::1", port: 0 });
  assert.deepEqual(parseAddress("example.com:443"), { host: "example.com", port: 443 });
  for (const bad of ["5000", "a:b", "::1:5000", "host:70000", "host:", ""]) {
    assert.equal(parseAddress(bad), undefined, bad);
  }
});
