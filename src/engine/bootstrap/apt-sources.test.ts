import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type AptSource,
  DISTRIBUTIONS,
  formatAptSources,
  parseAptSources,
  publicSources,
  sourcesFor,
} from "./apt-sources.ts";

const debian = DISTRIBUTIONS["debian"]!;
const STANZAS = `# a comment
Types: deb deb-src
# another
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://user:secret@mirror.test/debian-security/
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://mirror.test/debian
Suites: off
Components: main

Types: deb
URIs: https://tools.test/apt
Suites: nodistro
Components: main
`;
const host = parseAptSources("debian.sources", STANZAS);

test("sources are read in both forms", () => {
  assert.equal(host.length, 3);
  assert.deepEqual(host[0]?.suites, ["bookworm", "bookworm-updates", "bookworm-backports"]);
  const lines = parseAptSources(
    "sources.list",
    "# deb http://no.test/debian x main\n" +
      "deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian stable main contrib # more\n" +
      "deb-src http://mirror.test/debian stable main\n",
  );
  const expected: AptSource[] = [
    {
      uris: ["http://mirror.test/debian"],
      suites: ["stable"],
      components: ["main", "contrib"],
      signedBy: "/k.gpg",
    },
  ];
  assert.deepEqual(lines, expected);
});

test("another suite is fetched from the host's mirrors, without backports and strangers", () => {
  const sources = sourcesFor(debian, "trixie", host);
  assert.deepEqual(
    sources.map(({ uris, suites, components }) => [...uris, ...suites, ...components]),
    [
      ["http://mirror.test/debian", "trixie", "trixie-updates", "main"],
      ["http://user:secret@mirror.test/debian-security/", "trixie-security", "main"],
    ],
  );
});

test("a rolling suite has no updates", () => {
  assert.deepEqual(
    sourcesFor(debian, "sid", host).map(({ suites }) => suites),
    [["sid"]],
  );
});

test("a mirror replaces all of them, and is trusted by the distribution's keys only", () => {
  const sources = sourcesFor(debian, "trixie", [], { mirror: "http://other.test/d" });
  assert.match(formatAptSources(sources), /URIs: http:\/\/other.test\/d\nSuites: trixie\n/);
  assert.equal(sources[0]?.signedBy, debian.keyring);
});

test("a host without sources of the distribution is told about --mirror", () => {
  assert.throws(() => sourcesFor(DISTRIBUTIONS["ubuntu"]!, "noble", host), {
    kind: "not-found",
    message: /--mirror/,
  });
});

test("no password of the host goes into an image", () => {
  const text = formatAptSources(publicSources(debian, sourcesFor(debian, "trixie", host)));
  assert.doesNotMatch(text, /secret|user/);
  assert.match(text, /http:\/\/mirror.test\/debian-security\//);
});
