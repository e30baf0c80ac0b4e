import assert from "node:assert/strict";
import { test } from "node:test";
import { conceal } from "./conceal.ts";

test("a configuration is shown without the passwords and tokens that it has", () => {
  const shown = conceal({
    "http-proxy": "http://me:secret@proxy:3128",
    proxies: { "https-proxy": "me:secret@proxy:3128", "no-proxy": "localhost,127.0.0.1" },
    "registry-mirrors": ["https://me:secret@mirror/", "https://mirror:5000/"],
    "log-opts": { "splunk-token": "0123-secret", "splunk-url": "https://splunk:8088", tag: "x@y" },
    debug: true,
  });
  assert.ok(!JSON.stringify(shown).includes("secret"), JSON.stringify(shown));
  assert.deepEqual(shown, {
    "http-proxy": "http://xxxxx:xxxxx@proxy:3128",
    proxies: { "https-proxy": "xxxxx:xxxxx@proxy:3128", "no-proxy": "localhost,127.0.0.1" },
    "registry-mirrors": ["https://xxxxx:xxxxx@mirror/", "https://mirror:5000/"],
    "log-opts": { "splunk-token": "*****", "splunk-url": "https://splunk:8088", tag: "x@y" },
    debug: true,
  });
});
