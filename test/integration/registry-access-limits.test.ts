// What the registry client makes of registries that are busy, elsewhere or hostile: waits, mirrors,
// rules, and an end to everything.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { listReferrers } from "../../src/distribution/referrers.ts";
import { serve, serveRaw } from "../support/http-servers.ts";
import {
  DIGEST,
  giveManifest,
  MANIFEST,
  messageOf,
  mirror,
  RAW,
  registriesWith,
  rule,
} from "../support/registry-client.ts";

describe("limits of a registry", () => {
  for (const [status, header] of [
    [429, () => "0"],
    [503, () => new Date(Date.now() - 1000).toUTCString()],
  ] as const) {
    test(`${status} with Retry-After is waited for`, async () => {
      let left = 2;
      await using server = await serve((request, response) => {
        if (request.url === "/v2/" || left-- <= 0) return giveManifest(response);
        response.writeHead(status, { "Retry-After": header() }).end();
      });
      const registry = await registriesWith().open(server.host);
      assert.equal((await registry.manifest("a/b", "1")).digest, DIGEST);
    });
  }

  test("a wait that is too long is the user's to decide, and the rate limit is known", async () => {
    await using server = await serve((request, response) => {
      if (request.url === "/v2/") return void response.end();
      const headers = { "Retry-After": "3600", "RateLimit-Limit": "100;w=21600" };
      response.writeHead(429, { ...headers, "RateLimit-Remaining": "0;w=21600" }).end();
    });
    const registry = await registriesWith().open(server.host);
    assert.match(await messageOf(registry.manifest("a/b", "1")), /^toomanyrequests: /);
    assert.deepEqual(registry.rateLimit, { limit: 100, remaining: 0, windowSeconds: 21_600 });
  });
});

describe("mirrors and rules", () => {
  test("mirrors of any registry come first, under their own names, without its password", async () => {
    await using near = await serve((_, response) => giveManifest(response));
    const registries = registriesWith({
      registries: [
        rule("example.com", { mirrors: [mirror("https://unused.invalid")] }),
        rule("example.com/team", {
          mirrors: [
            mirror(`http://${near.host}/cache`, { namespace: true }),
            mirror(`http://${near.host}`, {
              rewrite: [{ pattern: /^team\/(.*)$/, replacement: "flat-$1" }],
            }),
          ],
        }),
      ],
    });
    const credentials = { username: "me", password: "secret" };
    const mirrors = await registries.mirrors("example.com", {
      repository: "team/app",
      credentials,
    });
    for (const one of mirrors) await one.manifest("team/app", "1");
    assert.deepEqual(near.requests, [
      "GET /v2/cache/app/manifests/1?ns=example.com",
      "GET /v2/flat-app/manifests/1",
    ]);
    assert.equal(
      near.headers.some(({ authorization }) => authorization),
      false,
    );
    const others = await registries.mirrors("example.com", { repository: "teams/app" });
    assert.deepEqual(
      others.map(({ base }) => base.href),
      ["https://unused.invalid/"],
    );
  });

  test("a mirror may have credentials of its own", async () => {
    const folder = await mkdtemp(join(tmpdir(), "gantry-mirror-"));
    await writeFile(join(folder, "password"), "open\n");
    await using near = await serve((request, response) => {
      if (request.headers.authorization) return giveManifest(response);
      response.writeHead(401, { "WWW-Authenticate": 'Basic realm="m"' }).end();
    });
    const own = { username: "reader", passwordFile: join(folder, "password") };
    const registries = registriesWith({
      registries: [rule("example.com", { mirrors: [mirror(`http://${near.host}`, own)] })],
    });
    const [one] = await registries.mirrors("example.com", {
      credentials: { username: "me", password: "secret" },
    });
    await one!.manifest("a/b", "1");
    assert.equal(
      Buffer.from(near.headers.at(-1)!.authorization!.slice(6), "base64").toString(),
      "reader:open",
    );
    await rm(folder, { recursive: true });
  });

  test("a mirror for digests only is never asked what a tag means", async () => {
    await using upstream = await serve((request, response) => {
      if (request.url === "/v2/") return void response.end();
      giveManifest(response, request.method === "HEAD" ? "" : RAW);
    });
    await using near = await serve((_, response) => giveManifest(response));
    const registries = registriesWith({
      registries: [
        rule(upstream.host, { mirrors: [mirror(`http://${near.host}`, { digestsOnly: true })] }),
      ],
    });
    const [one] = await registries.mirrors(upstream.host, { repository: "a/b" });
    assert.equal((await one!.manifest("a/b", "1")).digest, DIGEST);
    assert.deepEqual(near.requests, [`GET /v2/a/b/manifests/${DIGEST}`]);
    assert.ok(upstream.requests.includes("HEAD /v2/a/b/manifests/1"));
  });

  test("a mirror that lies about a digest is caught", async () => {
    await using near = await serve((_, response) => giveManifest(response, "{}"));
    const registries = registriesWith({
      registries: [rule("example.com", { mirrors: [mirror(`http://${near.host}`)] })],
    });
    const [one] = await registries.mirrors("example.com");
    await assert.rejects(one!.manifest("a/b", DIGEST), { kind: "corrupt" });
  });

  test("a mirror that does not answer is left alone for a while", async () => {
    await using silent = await serveRaw(() => {});
    const registries = registriesWith({
      limits: { headersTimeoutMs: 30 },
      registries: [rule("example.com", { mirrors: [mirror(`http://${silent.host}`)] })],
    });
    const [one] = await registries.mirrors("example.com");
    await assert.rejects(one!.manifest("a/b", "1"), { kind: "timeout" });
    assert.deepEqual(await registries.mirrors("example.com"), []);
  });

  test("a registry may be elsewhere, and a blocked one is not asked", async () => {
    await using there = await serve((_, response) => giveManifest(response));
    const registries = registriesWith({
      registries: [
        rule("old.example.com/team", { location: `${there.host}/new` }),
        rule("*.bad.example", { blocked: true }),
      ],
    });
    const moved = await registries.open("old.example.com", {
      repository: "team/app",
      credentials: { username: "me", password: "secret" },
    });
    await moved.manifest("team/app", "1");
    assert.ok(there.requests.includes("GET /v2/new/app/manifests/1"));
    for (const ask of [registries.open("x.bad.example"), registries.mirrors("x.bad.example")]) {
      await assert.rejects(ask, {
        kind: "forbidden",
        message: "registry *.bad.example is blocked by the configuration of this host",
      });
    }
    registries.configure({ registries: [] });
    assert.equal((await registries.open("x.bad.example")).base.href, "https://x.bad.example/");
  });
});

describe("hostile servers", () => {
  const limits = {
    connectTimeoutMs: 200,
    headersTimeoutMs: 100,
    idleTimeoutMs: 50,
    bodyTimeoutMs: 300,
  };
  const HEAD = "HTTP/1.1 200 OK\r\n";
  const every = (socket: { write(text: string): unknown; destroyed: boolean }, text: string) => {
    const timer = setInterval(() => {
      if (socket.destroyed) clearInterval(timer);
      else socket.write(text);
    }, 10);
  };
  const CASES: [string, Parameters<typeof serveRaw>[0], RegExp][] = [
    [
      "sends headers without end",
      (socket) => socket.write(HEAD + `X: ${"y".repeat(200)}\r\n`.repeat(2_000)),
      /response headers exceeded/,
    ],
    [
      "never ends its head",
      (socket) => {
        socket.write(HEAD);
        every(socket, "X: y\r\n");
      },
      /timeout awaiting response/,
    ],
    [
      "sends a body without end",
      (socket) => {
        socket.write(`${HEAD}\r\n`);
        const more = (): void => {
          while (!socket.destroyed && socket.write(Buffer.alloc(1 << 20, 32)));
        };
        socket.on("drain", more);
        more();
      },
      /larger than 8388608 bytes/,
    ],
    [
      "promises a huge body",
      (socket) => socket.write(`${HEAD}Content-Length: 99999999999\r\n\r\n`),
      /larger than 8388608 bytes/,
    ],
    [
      "trickles",
      (socket) => {
        socket.write(`${HEAD}\r\n`);
        every(socket, " ");
      },
      /read: the answer trickles/,
    ],
    ["stalls", (socket) => socket.write(`${HEAD}\r\n{`), /read: connection timed out/],
    ["talks nonsense", (socket) => socket.end("SSH-2.0-x\r\n\r\n"), /malformed HTTP response/],
    [
      "challenges with nonsense",
      (socket) => {
        const challenge = `Bearer realm="${'\\"'.repeat(10_000)}`;
        const head = `WWW-Authenticate: ${challenge}\r\nContent-Length: 0\r\n\r\n`;
        socket.end(`HTTP/1.1 401 Unauthorized\r\n${head}`);
      },
      /unauthorized/,
    ],
  ];
  for (const [what, answer, expected] of CASES) {
    test(`one that ${what} is left`, async () => {
      await using server = await serveRaw(answer);
      const rules = [rule("example.com", { mirrors: [mirror(`http://${server.host}`)] })];
      const registries = registriesWith({ limits, registries: rules });
      // A mirror is spoken to without a first word.
      const [registry] = await registries.mirrors("example.com");
      await assert.rejects(registry!.manifest("a/b", "1"), expected);
    });
  }

  test("a list of tags that goes round or on for ever ends", async () => {
    let page = 0;
    await using server = await serve((request, response) => {
      const link = request.url!.includes("/round/") ? request.url! : `${request.url}${page++}`;
      response.writeHead(200, { Link: `<${link.replace("list?", "list?")}>; rel="next"` });
      response.end('{"tags":["a"]}');
    });
    const registry = await registriesWith().open(server.host);
    assert.deepEqual(await registry.tags("round/a"), ["a"]);
    await assert.rejects(registry.tags("on/a"), /more than 1000 pages|414|headers/);
  });
});

describe("referrers", () => {
  const subject = `sha256:${"a".repeat(64)}`;
  const entry = (digit: string, artifactType: string) => ({
    mediaType: MANIFEST,
    digest: `sha256:${digit.repeat(64)}`,
    size: 3,
    artifactType,
  });

  test("pages are followed and types are filtered, whatever the registry filters", async () => {
    await using server = await serve((request, response) => {
      const url = new URL(request.url!, "http://x");
      if (!url.pathname.includes("/referrers/")) return void response.writeHead(404).end();
      const second = url.searchParams.has("last");
      if (!second) response.setHeader("Link", `<${url.pathname}?last=1>; rel="next"`);
      const manifests = second ? [entry("2", "sbom")] : [entry("1", "signature"), { odd: true }];
      response.end(JSON.stringify({ schemaVersion: 2, manifests }));
    });
    const registry = await registriesWith().open(server.host);
    const types = async (o = {}) =>
      (await listReferrers(registry, "a/b", subject, o)).map((one) => one.artifactType);
    assert.deepEqual(await types(), ["signature", "sbom"]);
    assert.deepEqual(await types({ artifactType: "sbom" }), ["sbom"]);
    assert.ok(server.requests.some((one) => one.endsWith("?artifactType=sbom")));
  });

  test("a registry without the API keeps them under a tag", async () => {
    await using server = await serve((request, response) => {
      if (!request.url!.endsWith(`/manifests/sha256-${"a".repeat(64)}`)) {
        return void response.writeHead(404).end();
      }
      response.end(JSON.stringify({ schemaVersion: 2, manifests: [entry("1", "sbom")] }));
    });
    const registry = await registriesWith().open(server.host);
    const found = await listReferrers(registry, "a/b", subject);
    assert.deepEqual(
      found.map(({ artifactType }) => artifactType),
      ["sbom"],
    );
    assert.deepEqual(await listReferrers(registry, "a/b", `sha256:${"b".repeat(64)}`), []);
  });
});
