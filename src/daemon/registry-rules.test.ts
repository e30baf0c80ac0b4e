import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRegistryRules } from "./registry-rules.ts";

test("rules are read with their defaults", () => {
  const [hub, team] = parseRegistryRules({
    "docker.io": { mirrors: ["https://mirror.example/hub"] },
    "example.com:5000/team": {
      location: "other.example/x",
      insecure: true,
      mirrors: [
        {
          url: "http://near:5000",
          rewrite: { "^library/(.*)$": "$1" },
          namespace: true,
          "digests-only": true,
          username: "me",
          "password-file": "/run/secret",
        },
      ],
    },
  });
  assert.deepEqual(hub, {
    prefix: "docker.io",
    mirrors: [
      {
        url: "https://mirror.example/hub",
        rewrite: [],
        insecure: false,
        namespace: false,
        digestsOnly: false,
      },
    ],
    insecure: false,
    blocked: false,
  });
  assert.equal(team?.location, "other.example/x");
  assert.deepEqual(team?.mirrors[0], {
    url: "http://near:5000/",
    rewrite: [{ pattern: /^library\/(.*)$/, replacement: "$1" }],
    insecure: false,
    namespace: true,
    digestsOnly: true,
    username: "me",
    passwordFile: "/run/secret",
  });
});

const BAD: [unknown, string][] = [
  [[], "invalid registries: it must be an object"],
  [{ "a b": {} }, 'invalid registries["a b"]: it is no registry, repository or domain'],
  [{ a: { mirror: [] } }, 'invalid registries["a"]: unknown key mirror'],
  [{ a: { blocked: 1 } }, 'invalid registries["a"].blocked: it must be true or false'],
  [
    { a: { location: "https://b" } },
    'invalid registries["a"].location: it must be "host[:port][/path]"',
  ],
  [
    { a: { mirrors: ["ftp://b"] } },
    'invalid registries["a"].mirrors[0].url: it must begin with http:// or https://',
  ],
  [
    { a: { mirrors: ["https://me:x@b"] } },
    'invalid registries["a"].mirrors[0].url: credentials belong into "username" and "password-file"',
  ],
  [
    { a: { mirrors: [{ url: "https://b", rewrite: { "(": "" } }] } },
    'invalid registries["a"].mirrors[0].rewrite: "(" is no regular expression',
  ],
  [
    { a: { mirrors: [{ url: "https://b", username: "me" }] } },
    'invalid registries["a"].mirrors[0]: "username" and "password-file" belong together',
  ],
];
for (const [value, message] of BAD) {
  test(`${JSON.stringify(value)} is refused`, () => {
    assert.throws(() => parseRegistryRules(value), { kind: "invalid", message });
  });
}
