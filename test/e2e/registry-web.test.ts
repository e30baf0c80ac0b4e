// The registry's page in a real headless Chromium (installed by .ci/run): what people see, by the
// keyboard too, what hostile content may not do, logins, and deleting. A console error, a refused
// resource or a request to another place fails the test in which it happens.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { hashPassword } from "../../src/registry/index.ts";
import { type Descriptor, Pusher, RegistryProcess } from "../support/registry-process.ts";

const NAMES = ["chromium-headless-shell", "chromium", "google-chrome", "headless_shell"];
const executablePath = [process.env["GANTRY_TEST_BROWSER"], ...NAMES.flatMap(onPath)].find(
  (path) => path !== undefined && existsSync(path),
);
const skip =
  executablePath === undefined &&
  "needs a browser: apt-get install chromium-headless-shell, or set GANTRY_TEST_BROWSER";

function onPath(name: string): string[] {
  return (process.env["PATH"] ?? "").split(":").map((folder) => join(folder, name));
}

const BROWSER_PATIENCE_MS = 60_000;
const XSS = "<img src=x onerror=globalThis.hacked=1><script>globalThis.hacked=1</script>";
const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";

let browser: Browser;
before(async () => {
  if (skip) return;
  const timeout = BROWSER_PATIENCE_MS;
  const args = ["--no-sandbox"];
  browser = await chromium.launch({ executablePath: executablePath!, args, timeout });
});
after(async () => await browser?.close());

/** A page that remembers whatever went wrong on it. */
async function openPage(context: BrowserContext, base: string): Promise<[Page, string[]]> {
  const page = await context.newPage();
  page.setDefaultTimeout(BROWSER_PATIENCE_MS);
  const wrong: string[] = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // 401, 403 and 404 are answers of the registry that the page shows.
    if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) {
      wrong.push(`console: ${message.text()}`);
    }
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${base}/`)) wrong.push(`request: ${request.url()}`);
  });
  return [page, wrong];
}

describe("the registry's page", { skip }, () => {
  let registry: RegistryProcess;
  let context: BrowserContext;
  let page: Page;
  let wrong: string[];
  let image: Descriptor;
  before(async () => {
    registry = await RegistryProcess.start({ config: "web: { title: Our images }\n" });
    image = await fill(new Pusher(registry.url));
  });
  after(async () => await registry?.stop());
  beforeEach(async () => {
    context = await browser.newContext({ colorScheme: "light" });
    [page, wrong] = await openPage(context, registry.url);
  });
  afterEach(async () => {
    const hacked = await page.evaluate(() => (globalThis as { hacked?: number }).hacked);
    await context.close();
    assert.equal(hacked, undefined, "a script from the registry's content has run");
    assert.deepEqual(wrong, []);
  });
  const go = async (hash: string) => {
    await page.goto(`${registry.url}/${hash}`);
    await page.locator("main:not([aria-busy]) h1").waitFor();
  };
  const text = (selector: string) =>
    page
      .locator(selector)
      .allInnerTexts()
      .then((all) => all.join("\n"));

  test("repositories lead to tags, and tags to an image with its layers and history", async () => {
    await go("");
    assert.equal(await page.title(), "Repositories · Our images");
    await page.getByRole("link", { name: "team/ app" }).or(page.getByText("app")).first().click();
    await page.getByRole("heading", { name: "team/app", exact: true }).waitFor();
    await page.locator("tr", { hasText: "1.0" }).getByText("image").waitFor();
    await page.getByRole("link", { name: "1.0", exact: true }).click();
    await page.getByRole("heading", { name: "team/app:1.0" }).waitFor();
    const main = await text("main");
    for (const expected of [
      "linux/arm64/v8",
      "RUN apk add curl",
      "no layer",
      "2 layers, 30 B compressed",
      `docker pull ${registry.host}/team/app:1.0`,
      `gantry pull ${registry.host}/team/app@${image.digest}`,
      "org.opencontainers.image.source",
      "application/vnd.example.sbom",
      "PATH=/bin",
      "2026-01-02 03:04 UTC",
    ]) {
      assert.ok(main.includes(expected), `${expected} is not in:\n${main}`);
    }
    await page.getByText("Manifest as JSON").click();
    const raw = await text("details pre");
    assert.equal((JSON.parse(raw) as { schemaVersion: number }).schemaVersion, 2);
  });

  test("an index is shown by platform, each with a link to its manifest", async () => {
    await go("#/r/team%2Fapp/multi");
    const rows = await page.locator("tbody tr").allInnerTexts();
    assert.match(rows[0]!, /linux\/amd64/);
    assert.match(rows[1]!, /linux\/arm64\/v8/);
    await page.getByRole("link", { name: "linux/arm64/v8" }).click();
    await page.getByText(/\d+ layers?, /).waitFor();
    assert.ok(page.url().includes(encodeURIComponent(image.digest)));
    await page.goBack();
    await page.getByRole("heading", { name: "team/app:multi" }).waitFor();
  });

  test("a search finds names and descriptions", async () => {
    await go("");
    await page.keyboard.press("/");
    await page.keyboard.type("fridge");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Search: fridge" }).waitFor();
    assert.deepEqual(await page.locator(".cards a").allInnerTexts(), [
      "cold/store\nKeeps a fridge cool",
    ]);
  });

  test("nothing that was pushed becomes markup or a script", async () => {
    await go("#/r/hostile%2Fcontent/evil");
    const main = await text("main");
    assert.ok(main.includes(XSS), main);
    assert.ok(main.includes("\\u202e"), "what turns the reading order is not shown as such");
    const links = await page
      .locator("main a")
      .evaluateAll((all) => all.map((each) => each.getAttribute("href")));
    assert.deepEqual(
      links.filter((href) => !/^(#|https:\/\/example\.com)/.test(href!)),
      [],
    );
    assert.equal(await page.locator("main img, main script, main iframe").count(), 0);
    for (const hash of [`#/?q=${encodeURIComponent(XSS)}`, `#/r/${encodeURIComponent(XSS)}`]) {
      await go(hash);
      assert.equal(await page.locator("main img, main script").count(), 0);
    }
    // The second wall: even the page's own code could not.
    const attempt = `try { document.body.innerHTML = "<b>x</b>"; false } catch { true }`;
    const refused = await page.evaluate<boolean>(attempt);
    assert.ok(refused, "innerHTML works on the page");
    wrong = wrong.filter((line) => !/TrustedHTML/.test(line));
  });

  test("manifests with fields of wrong types are shown as far as they make sense", async () => {
    await go("#/r/hostile%2Fcontent/odd");
    assert.match(await text("main"), /hostile\/content:odd/);
  });

  test("it can be walked through with the keyboard alone", async () => {
    await go("#/r/team%2Fapp");
    await page.locator("tr", { hasText: "1.0" }).getByText("image").waitFor();
    const seen: string[] = [];
    for (let step = 0; step < 40 && !seen.includes("1.0"); step++) {
      await page.keyboard.press("Tab");
      seen.push(await page.evaluate<string>("document.activeElement.textContent"));
    }
    assert.ok(seen.includes("1.0"), seen.join(" | "));
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "team/app:1.0" }).waitFor();
    const focused = await page.evaluate<string>("document.activeElement.tagName");
    assert.equal(focused, "H1");
  });

  test("dark and light follow the system, and a button", async () => {
    await go("");
    const back = () => page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
    const light = await back();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await back();
    assert.notEqual(dark, light);
    await page.getByRole("button", { name: /dark and light/ }).click();
    assert.equal(await back(), light);
    await page.reload();
    assert.equal(await back(), light);
  });

  test("a tag and a manifest are deleted after a question", async () => {
    const pusher = new Pusher(registry.url);
    await pusher.image("temp/gone", "a");
    const { digest } = await pusher.image("temp/gone", "b", { layers: ["other"] });
    await go("#/r/temp%2Fgone");
    await page.getByRole("button", { name: "Delete tag a" }).click();
    await page.keyboard.press("Escape");
    assert.equal((await fetch(`${registry.url}/v2/temp/gone/manifests/a`)).status, 200);
    await page.getByRole("button", { name: "Delete tag a" }).click();
    await page.getByRole("button", { name: "Delete tag", exact: true }).click();
    await page.getByText("Deleted temp/gone:a").waitFor();
    assert.equal((await fetch(`${registry.url}/v2/temp/gone/manifests/a`)).status, 404);
    await go("#/r/temp%2Fgone/b");
    await page.getByRole("button", { name: "Delete manifest" }).click();
    await page.getByLabel(/to confirm/).fill(digest.slice(-6));
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText("Deleted the manifest").waitFor();
    const { status } = await fetch(`${registry.url}/v2/temp/gone/manifests/${digest}`);
    assert.equal(status, 404);
  });
});

const ACCESS = {
  htpasswd: "authentication: { type: htpasswd, file: users }",
  token: "authentication: { type: token, keyFile: keys, htpasswd: { file: users } }",
};
for (const [kind, authentication] of Object.entries(ACCESS)) {
  describe(`the registry's page with ${kind}`, { skip }, () => {
    let registry: RegistryProcess;
    before(async () => {
      registry = await RegistryProcess.start({
        files: {
          users: `ada:${await hashPassword("right", 5)}\nbob:${await hashPassword("right", 5)}\n`,
        },
        config: `
access:
  ${authentication}
  policies:
    - { users: ada, actions: "*", catalog: true }
    - { users: bob, actions: pull, catalog: true }
`,
      });
      const token = Buffer.from("ada:right").toString("base64");
      await new Pusher(registry.url, { headers: { Authorization: `Basic ${token}` } }).image(
        "team/private",
        "1",
      );
    });
    after(async () => await registry?.stop());

    test("asks for a login, says when it is wrong, and shows what the user may see", async () => {
      const context = await browser.newContext();
      const [page, wrong] = await openPage(context, registry.url);
      await page.goto(registry.url);
      await page.getByLabel("User").fill("ada");
      await page.getByLabel("Password").fill("wrong");
      await page.keyboard.press("Enter");
      await page.getByText("Wrong user or password").waitFor();
      await page.getByLabel("Password").fill("right");
      await page.keyboard.press("Enter");
      await page.getByRole("link", { name: /private/ }).click();
      await page.getByRole("button", { name: "Delete tag 1" }).waitFor();
      await page.getByRole("link", { name: "1", exact: true }).click();
      await page.getByText("1 layer, 5 B compressed").waitFor();
      assert.equal(await page.locator("#user").textContent(), "ada");
      await page.getByRole("button", { name: "Log out" }).click();
      await page.getByRole("heading", { name: "Log in" }).first().waitFor();
      await context.close();
      assert.deepEqual(wrong, []);
    });

    test("shows no way to delete to those who may not", async () => {
      const context = await browser.newContext();
      const [page, wrong] = await openPage(context, registry.url);
      await page.goto(`${registry.url}/#/r/team%2Fprivate`);
      await page.getByLabel("User").fill("bob");
      await page.getByLabel("Password").fill("right");
      await page.keyboard.press("Enter");
      await page.locator("tr", { hasText: "image" }).waitFor();
      assert.equal(await page.getByRole("button", { name: /Delete/ }).count(), 0);
      await context.close();
      assert.deepEqual(wrong, []);
    });
  });
}

async function fill(pusher: Pusher): Promise<Descriptor> {
  const image = await pusher.image("team/app", "1.0", {
    layers: ["first layer...", "second layer ..."],
    config: {
      architecture: "arm64",
      variant: "v8",
      created: "2026-01-02T03:04:05Z",
      config: { Env: ["PATH=/bin"], Cmd: ["sh", "-c", "echo hi"], Labels: { maintainer: "Ada" } },
      history: [
        { created_by: "/bin/sh -c #(nop) ADD file:1 in /" },
        { created_by: "CMD sh", empty_layer: true },
        { created_by: "/bin/sh -c apk add curl" },
      ],
    },
    more: { annotations: { "org.opencontainers.image.source": "https://example.com/app" } },
  });
  const amd64 = await pusher.image("team/app", "amd64");
  await pusher.manifest("team/app", "multi", {
    schemaVersion: 2,
    mediaType: INDEX_TYPE,
    manifests: [
      { ...amd64, platform: { os: "linux", architecture: "amd64" } },
      { ...image, platform: { os: "linux", architecture: "arm64", variant: "v8" } },
    ],
  });
  const sbom = await pusher.blob("team/app", "text/plain", "parts");
  const empty = await pusher.blob("team/app", "application/vnd.oci.empty.v1+json", "{}");
  await pusher.manifest("team/app", "", {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    artifactType: "application/vnd.example.sbom",
    config: empty,
    layers: [{ ...sbom, annotations: { "org.opencontainers.image.title": "sbom.txt" } }],
    subject: image,
  });
  const description = { "org.opencontainers.image.description": "Keeps a fridge cool" };
  await pusher.image("cold/store", "latest", { more: { annotations: description } });
  await pusher.image("hostile/content", "evil", {
    config: {
      author: XSS,
      created: XSS,
      config: { Env: [XSS], Cmd: [XSS], Labels: { [XSS]: XSS }, User: "root\u202etoor" },
      history: [{ created_by: XSS, created: XSS }],
    },
    more: {
      annotations: {
        [XSS]: XSS,
        link: "javascript:globalThis.hacked=1",
        good: "https://example.com/",
        "org.opencontainers.image.description": XSS,
      },
    },
  });
  await pusher.image("hostile/content", "odd", {
    config: { config: { Env: "not a list", Labels: [1], Cmd: { a: 1 } }, history: { a: 1 } },
    more: { annotations: {} },
  });
  return image;
}
