// The registry client's way out: who it says it is, to whom, through which proxy, with which
// certificates.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { checkLogin } from "../../src/distribution/login.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";
import { serve, serveProxy, type TestServer } from "../support/http-servers.ts";
import {
  DIGEST,
  giveManifest,
  messageOf,
  noProxies,
  REMOTE,
  registriesWith,
} from "../support/registry-client.ts";

/** A registry with a token service that keeps what it was asked. */
async function tokenRegistry(o: { expiresIn?: number; post?: number; scope?: string } = {}) {
  let made = 0;
  const forms: URLSearchParams[] = [];
  const server: TestServer = await serve((request, response) => {
    const url = new URL(request.url!, "http://x");
    if (url.pathname === "/token") return void token(request, response);
    const { authorization = "" } = request.headers;
    if (url.pathname === "/v2/" && !authorization) return challenge(response);
    if (!authorization.startsWith("Bearer t")) return challenge(response);
    giveManifest(response);
  });
  const challenge = (response: ServerResponse): void => {
    const scope = o.scope ? `,scope="${o.scope}"` : "";
    const realm = `Bearer realm="http://${server.host}/token",service="s"${scope}`;
    response.writeHead(401, { "WWW-Authenticate": realm }).end();
  };
  const token = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = "";
    for await (const chunk of request) body += chunk;
    if (request.method === "POST" && o.post) return void response.writeHead(o.post).end();
    if (request.method === "POST") forms.push(new URLSearchParams(body));
    const answer = { token: `t${++made}`, expires_in: o.expiresIn ?? 300, refresh_token: "again" };
    response.end(JSON.stringify(answer));
  };
  return { server, forms, tokens: () => server.requests.filter((one) => /\/token/.test(one)) };
}

describe("tokens", () => {
  test("a token serves all requests of its scope, of later operations too", async () => {
    const { server, tokens } = await tokenRegistry();
    await using _ = server;
    const registries = registriesWith();
    for (let round = 0; round < 2; round++) {
      const registry = await registries.open(server.host);
      await Promise.all([registry.manifest("a/b", "1"), registry.manifest("a/b", "2")]);
    }
    assert.deepEqual(tokens(), ["GET /token?service=s&scope=repository%3Aa%2Fb%3Apull"]);
    await (await registries.open(server.host)).manifest("c/d", "1");
    assert.equal(tokens().length, 2);
    const refusals = server.headers.filter(({ authorization }) => !authorization).length;
    const pings = server.requests.filter((one) => one === "GET /v2/").length;
    // Two at once were refused first; the other scope was not.
    assert.ok(refusals <= pings + 2 + tokens().length, `${refusals} requests without a token`);
  });

  test("a token that has run out is replaced", async () => {
    const { server, tokens } = await tokenRegistry({ expiresIn: 1 });
    await using _ = server;
    const registry = await registriesWith().open(server.host);
    await registry.manifest("a/b", "1");
    const before = tokens().length;
    await registry.manifest("a/b", "1");
    assert.ok(tokens().length > before);
  });

  test("the scope that a registry names is asked for beside our own", async () => {
    const { server, tokens } = await tokenRegistry({ scope: "repository:proxy/a/b:pull" });
    await using _ = server;
    await (await registriesWith().open(server.host)).manifest("a/b", "1");
    const asked = new URL(tokens()[0]!.slice(4), "http://x").searchParams.getAll("scope");
    assert.deepEqual(asked, ["repository:a/b:pull", "repository:proxy/a/b:pull"]);
  });

  test("a refresh token is exchanged by form, and by GET where there is no form", async () => {
    const plain = await tokenRegistry();
    await using _ = plain.server;
    const credentials = { username: "me", identityToken: "refresh" };
    const open = (host: string) => registriesWith().open(host, { credentials });
    await (await open(plain.server.host)).manifest("a/b", "1");
    assert.deepEqual(Object.fromEntries(plain.forms[0]!), {
      grant_type: "refresh_token",
      refresh_token: "refresh",
      service: "s",
      client_id: "docker",
      scope: "repository:a/b:pull",
    });
    for (const post of [404, 405]) {
      const old = await tokenRegistry({ post });
      await using _ = old.server;
      await (await open(old.server.host)).manifest("a/b", "1");
      const [first, second] = old.tokens();
      assert.match(first!, /^POST /);
      assert.match(second!, /^GET .*account=me/);
    }
  });

  test("a login asks for a refresh token and returns it", async () => {
    const { server, tokens } = await tokenRegistry();
    await using _ = server;
    const credentials = { username: "me", password: "secret" };
    const answer = await checkLogin(registriesWith(), server.host, credentials);
    assert.deepEqual(answer, { identityToken: "again" });
    assert.match(tokens()[0]!, /account=me&offline_token=true&client_id=docker/);
  });

  test("one who gives up does not take the token from the others", async () => {
    const asked = Promise.withResolvers<ServerResponse>();
    const server: TestServer = await serve((request, response) => {
      if (request.url!.startsWith("/token")) return asked.resolve(response);
      if (request.headers.authorization) return giveManifest(response);
      const realm = `Bearer realm="http://${server.host}/token",service="s"`;
      response.writeHead(401, { "WWW-Authenticate": realm }).end();
    });
    await using _ = server;
    const registries = registriesWith();
    const stop = new AbortController();
    const gone = (await registries.open(server.host, { signal: stop.signal })).manifest("a/b", "1");
    gone.catch(() => {});
    const stays = (await registries.open(server.host)).manifest("a/b", "1");
    const answer = await asked.promise;
    stop.abort(new Error("gone"));
    await assert.rejects(gone, /gone/);
    answer.end('{"token":"t1"}');
    assert.equal((await stays).digest, DIGEST);
  });
});

describe("TLS and proxies", () => {
  let folder: string;
  let authority: Certificate;
  let server: Certificate;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gantry-certs-"));
    authority = makeCertificate({ commonName: "Test CA", authority: true });
    server = makeCertificate({ commonName: "r", issuer: authority, addresses: [REMOTE] });
  });
  after(() => rm(folder, { recursive: true, force: true }));
  const tlsOf = ({ pem, keyPem }: Certificate) => ({ cert: pem, key: keyPem });
  /** The registry at REMOTE, behind a proxy: as far from the loopback as one can test. */
  async function remote(tls: object, handler = giveAll) {
    const registry = await serve(handler, tls);
    const leads = new Map([[`${REMOTE}:443`, registry.port]]);
    const proxy = await serveProxy(leads);
    const close = async (): Promise<void> => {
      await proxy[Symbol.asyncDispose]();
      await registry[Symbol.asyncDispose]();
    };
    const proxies = { ...noProxies, httpsProxy: proxy.url };
    return { registry, proxy, proxies, [Symbol.asyncDispose]: close };
  }
  const giveAll = (_: IncomingMessage, response: ServerResponse): void => giveManifest(response);

  test("a certificate of an unknown authority is refused in docker's words", async () => {
    await using there = await remote(tlsOf(server));
    const registry = await registriesWith({ proxies: there.proxies }).open(REMOTE);
    assert.equal(
      await messageOf(registry.manifest("a/b", "1")),
      `Get "https://${REMOTE}/v2/a/b/manifests/1": tls: failed to verify certificate: ` +
        "x509: certificate signed by unknown authority",
    );
  });

  test("certs.d is trusted, and read again when it changes", async () => {
    await using there = await remote(tlsOf(server));
    const folders = join(folder, "changing");
    const registries = registriesWith({ proxies: there.proxies, certificateFolders: [folders] });
    const fetch = async () => (await registries.open(REMOTE)).manifest("a/b", "1");
    await assert.rejects(fetch(), /x509: certificate signed by unknown authority/);
    await mkdir(join(folders, REMOTE), { recursive: true });
    await writeFile(join(folders, REMOTE, "ca.crt"), authority.pem);
    assert.equal((await fetch()).digest, DIGEST);
    await rm(join(folders, REMOTE, "ca.crt"));
    await assert.rejects(fetch(), /x509: certificate signed by unknown authority/);
  });

  test("a client certificate is shown, and is whole or refused", async () => {
    const client = makeCertificate({ commonName: "me", issuer: authority });
    const tls = { ...tlsOf(server), ca: authority.pem, requestCert: true };
    await using there = await remote({ ...tls, rejectUnauthorized: true });
    const folders = join(folder, "client");
    await mkdir(join(folders, REMOTE), { recursive: true });
    const write = (name: string, text: string) => writeFile(join(folders, REMOTE, name), text);
    await write("ca.crt", authority.pem);
    const registries = registriesWith({ proxies: there.proxies, certificateFolders: [folders] });
    const fetch = async () => (await registries.open(REMOTE)).manifest("a/b", "1");
    await assert.rejects(fetch());
    await write("client.cert", client.pem);
    await assert.rejects(fetch(), {
      message:
        "missing key client.key for client certificate client.cert. CA certificates must use " +
        "the extension .crt",
    });
    await write("client.key", client.keyPem);
    assert.equal((await fetch()).digest, DIGEST);
  });

  test("an expired certificate and another host's are told apart", async () => {
    const yesterday = new Date(Date.now() - 3_600_000);
    const o = { issuer: authority, addresses: [REMOTE] };
    const folders = join(folder, "bad");
    await mkdir(join(folders, REMOTE), { recursive: true });
    await writeFile(join(folders, REMOTE, "ca.crt"), authority.pem);
    const CASES: [Certificate, RegExp][] = [
      [
        makeCertificate({ commonName: "r", ...o, notAfter: yesterday }),
        /x509: certificate has exp/,
      ],
      [
        makeCertificate({ commonName: "r", ...o, addresses: ["192.0.2.99"] }),
        /x509: certificate is valid for 192\.0\.2\.99, not 192\.0\.2\.10/,
      ],
    ];
    for (const [certificate, expected] of CASES) {
      await using there = await remote(tlsOf(certificate));
      const registries = registriesWith({
        proxies: there.proxies,
        certificateFolders: [folders],
      });
      const registry = await registries.open(REMOTE);
      await assert.rejects(registry.manifest("a/b", "1"), expected);
    }
  });

  test("an insecure registry is taken with any certificate, or without TLS", async () => {
    await using secure = await remote(tlsOf(makeCertificate({ commonName: "anything" })));
    const o = { insecureRegistries: ["192.0.2.0/24"], proxies: secure.proxies };
    const registry = await registriesWith(o).open(REMOTE);
    assert.equal(registry.base.href, `https://${REMOTE}/`);
    assert.equal((await registry.manifest("a/b", "1")).digest, DIGEST);
    await using plain = await serve(giveAll);
    assert.equal((await registriesWith().open(plain.host)).base.href, `http://${plain.host}/`);
  });

  test("plain HTTP where TLS is due is said as Go says it", async () => {
    await using plain = await serve(giveAll);
    await using proxy = await serveProxy(new Map([[`${REMOTE}:443`, plain.port]]));
    const registries = registriesWith({ proxies: { ...noProxies, httpsProxy: proxy.url } });
    const registry = await registries.open(REMOTE);
    await assert.rejects(
      registry.manifest("a/b", "1"),
      /: http: server gave HTTP response to HTTPS client$/,
    );
  });

  test("a proxy gets its own password, and says why it refuses", async () => {
    const registry = await serve(giveAll, tlsOf(makeCertificate({ commonName: "x" })));
    await using _ = registry;
    const leads = new Map([[`${REMOTE}:443`, registry.port]]);
    const authorization = `Basic ${Buffer.from("p:s@").toString("base64")}`;
    await using proxy = await serveProxy(leads, { authorization });
    const fetch = async (url: string, host = REMOTE) => {
      const proxies = { ...noProxies, httpsProxy: url };
      const registries = registriesWith({ insecureRegistries: ["192.0.2.0/24"], proxies });
      return (await registries.open(host)).manifest("a/b", "1");
    };
    assert.equal((await fetch(`http://p:s%40@${proxy.host}`)).digest, DIGEST);
    assert.equal(
      registry.headers.some((one) => "proxy-authorization" in one),
      false,
    );
    const secured = registriesWith({ proxies: { ...noProxies, httpsProxy: proxy.url } });
    const refused = (await secured.open(REMOTE)).manifest("a/b", "1");
    assert.match(await messageOf(refused), /": Proxy Authentication Required$/);
    const gone = registriesWith({ proxies: { ...noProxies, httpsProxy: "http://127.0.0.1:1" } });
    const down = (await gone.open(REMOTE)).manifest("a/b", "1");
    assert.match(
      await messageOf(down),
      /": proxyconnect tcp: dial tcp 127\.0\.0\.1:1: connect: connection refused$/,
    );
  });

  test("plain requests go to the proxy as orders, and past it where NO_PROXY says so", async () => {
    await using registry = await serve(giveAll);
    await using proxy = await serveProxy(new Map([[`${REMOTE}:5000`, registry.port]]));
    const proxies = { httpProxy: proxy.url, httpsProxy: proxy.url, noProxy: "" };
    const insecureRegistries = ["192.0.2.0/24"];
    const through = await registriesWith({ insecureRegistries, proxies }).open(`${REMOTE}:5000`);
    assert.equal((await through.manifest("a/b", "1")).digest, DIGEST);
    assert.ok(proxy.requests.includes(`GET http://${REMOTE}:5000/v2/a/b/manifests/1`));
    const before = proxy.requests.length;
    const limits = { connectTimeoutMs: 50 };
    const past = registriesWith({
      proxies: { ...proxies, noProxy: "192.0.2.0/24" },
      limits,
    });
    await assert.rejects((await past.open(`${REMOTE}:5000`)).manifest("a/b", "1"));
    assert.equal(proxy.requests.length, before);
  });
});

describe("redirects", () => {
  test("neither credentials nor client certificates follow to another host", async () => {
    await using store = await serve((_, response) => giveManifest(response));
    await using registry = await serve((request, response) => {
      if (request.url === "/v2/") return void response.end();
      if (request.headers.authorization === undefined) {
        return void response.writeHead(401, { "WWW-Authenticate": "Basic realm=x" }).end();
      }
      response.writeHead(307, { Location: `http://${store.host}/there` }).end();
    });
    const credentials = { username: "me", password: "secret" };
    const opened = await registriesWith().open(registry.host, { credentials });
    await opened.manifest("a/b", "1");
    assert.equal(store.headers[0]!.authorization, undefined);
    assert.ok(registry.headers.at(-1)!.authorization?.startsWith("Basic "));
  });

  test("a loop of redirects ends, and so does one to another scheme", async () => {
    await using registry = await serve((request, response) => {
      if (request.url === "/v2/") return void response.end();
      const target = request.url!.includes("/file") ? "file:///etc/passwd" : request.url!;
      response.writeHead(302, { Location: target }).end();
    });
    const opened = await registriesWith().open(registry.host);
    assert.match(await messageOf(opened.manifest("a/b", "1")), /: stopped after 10 redirects$/);
    assert.ok(registry.requests.length < 15);
    assert.match(await messageOf(opened.manifest("file/b", "file")), /unsupported scheme file:/);
  });

  test("a redirect from TLS to plain HTTP is refused", async () => {
    const authority = makeCertificate({ commonName: "CA", authority: true });
    const certificate = makeCertificate({
      commonName: "r",
      issuer: authority,
      addresses: [REMOTE],
    });
    await using plain = await serve((_, response) => giveManifest(response));
    await using registry = await serve(
      (_, response) => {
        response.writeHead(302, { Location: `http://${plain.host}/v2/` }).end();
      },
      { cert: certificate.pem, key: certificate.keyPem },
    );
    await using proxy = await serveProxy(new Map([[`${REMOTE}:443`, registry.port]]));
    const folder = await mkdtemp(join(tmpdir(), "gantry-certs-"));
    await mkdir(join(folder, REMOTE));
    await writeFile(join(folder, REMOTE, "ca.crt"), authority.pem);
    const opened = await registriesWith({
      certificateFolders: [folder],
      proxies: { ...noProxies, httpsProxy: proxy.url },
    }).open(REMOTE);
    await assert.rejects(opened.manifest("a/b", "1"), /redirects from https to http: refused/);
    assert.equal(plain.requests.length, 0);
    await rm(folder, { recursive: true });
  });
});
