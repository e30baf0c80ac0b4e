import assert from "node:assert/strict";
import { test } from "node:test";
import { compileProxies, maskProxy, parseProxy, proxiesOfEnvironment } from "./proxy-rules.ts";

const proxied = (noProxy: string, url: string): boolean => {
  const settings = { httpProxy: "http://p:1", httpsProxy: "http://s:2", noProxy };
  return compileProxies(settings)(new URL(url)) !== undefined;
};

/** [NO_PROXY, URL, whether it goes through the proxy], as Go's httpproxy decides. */
const CASES: [string, string, boolean][] = [
  ["", "https://example.com/", true],
  ["*", "https://example.com/", false],
  ["example.com", "https://example.com/", false],
  ["example.com", "https://a.example.com/", false],
  ["example.com", "https://notexample.com/", true],
  [".example.com", "https://example.com/", true],
  [".example.com", "https://a.example.com/", false],
  ["*.example.com", "https://example.com/", true],
  ["*.example.com", "https://a.b.example.com/", false],
  ["EXAMPLE.com", "https://Example.COM/", false],
  ["example.com:5000", "https://example.com/", true],
  ["example.com:5000", "https://example.com:5000/", false],
  ["example.com:443", "https://example.com/", false],
  ["example.com:80", "http://example.com/", false],
  ["10.0.0.0/8", "https://10.1.2.3:5000/", false],
  ["10.0.0.0/8", "https://11.1.2.3/", true],
  ["10.1.2.3", "https://10.1.2.3/", false],
  ["10.1.2.3:5000", "https://10.1.2.3/", true],
  ["2001:db8::/32", "https://[2001:db8::1]/", false],
  ["[2001:db8::1]:5000", "https://[2001:db8::1]:5000/", false],
  ["2001:db8::1", "https://[2001:db8::2]/", true],
  ["a.com, b.com ,,c.com", "https://b.com/", false],
  ["10.0.0.0/99", "https://10.0.0.1/", true],
  ["", "https://localhost:5000/", false],
  ["", "https://127.0.0.2/", false],
  ["", "https://[::1]:5000/", false],
];
for (const [noProxy, url, expected] of CASES) {
  test(`NO_PROXY=${JSON.stringify(noProxy)} ${expected ? "sends" : "keeps"} ${url}`, () => {
    assert.equal(proxied(noProxy, url), expected);
  });
}

test("each scheme has its proxy, and a proxy without a scheme is an http one", () => {
  const proxyFor = compileProxies({ httpProxy: "p:1", httpsProxy: "https://s", noProxy: "" });
  assert.equal(proxyFor(new URL("http://x/"))?.href, "http://p:1/");
  assert.equal(proxyFor(new URL("https://x/"))?.href, "https://s/");
});

test("variables are read in either case, the upper one first", () => {
  const env = { HTTP_PROXY: "a", http_proxy: "b", https_proxy: "c", no_proxy: "d" };
  assert.deepEqual(proxiesOfEnvironment(env), { httpProxy: "a", httpsProxy: "c", noProxy: "d" });
});

test("a proxy that cannot be used is refused without its password", () => {
  assert.throws(() => parseProxy("socks4://me:secret@host"), {
    message:
      'unsupported proxy "socks4://xxxxx:xxxxx@host": only http, https and socks5 proxies are supported',
  });
  assert.equal(maskProxy("http://me:secret@host:1/"), "http://xxxxx:xxxxx@host:1/");
  assert.equal(maskProxy("http://host:1/"), "http://host:1/");
});
