// What the command line does about registries by itself: logins in files and with credential
// helpers, manifests and lists of them, referrers.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { parseFlags } from "../../src/base/index.ts";
import { allLogins } from "../../src/cli/config/credentials.ts";
import { GLOBAL_FLAGS } from "../../src/cli/global-flags.ts";
import { main } from "../../src/cli/main.ts";
import { Session } from "../../src/cli/session.ts";
import { digest, FakeRegistry } from "../fakes/registry.ts";
import { memoryIo } from "../support/memory-io.ts";

const HELPER = `#!/bin/sh
# Keeps one secret for each address in a file; says each call.
input=$(cat)
echo "$1 $input" >> "$STORE/calls"
file() { echo "$STORE/$(printf %s "$1" | tr '/:' '__')"; }
case $1 in
store) url=$(printf %s "$input" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/'); printf %s "$input" > "$(file "$url")" ;;
get) cat "$(file "$input")" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) rm "$(file "$input")" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
list) echo '{"listed.example":"lister"}' ;;
esac
`;

let folder: string;
let daemon: ReturnType<typeof createServer>;
let socket: string;
/** What the daemon was asked to check. */
let asked: Record<string, string>[] = [];
let identityToken = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gantry-logins-"));
  await mkdir(join(folder, "bin"));
  for (const name of ["one", "two"]) {
    await writeFile(join(folder, `bin/docker-credential-${name}`), HELPER, { mode: 0o755 });
  }
  const failing = "#!/bin/sh\necho 'the keychain is locked'\nexit 3\n";
  await writeFile(join(folder, "bin/docker-credential-bad"), failing, { mode: 0o755 });
  daemon = createServer((request, response) => {
    response.setHeader("Api-Version", "1.48");
    if (!request.url!.endsWith("/auth")) return void response.end("OK");
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      const login = JSON.parse(body);
      asked.push(login);
      const good = login.password === "secret" || login.identitytoken === "refresh";
      response.statusCode = good ? 200 : 401;
      response.setHeader("Content-Type", "application/json");
      const refusal = { message: "unauthorized: incorrect username or password" };
      const answer = { Status: "Login Succeeded", IdentityToken: identityToken };
      response.end(JSON.stringify(good ? answer : refusal));
    });
  });
  await new Promise<void>((resolve) => daemon.listen(0, "127.0.0.1", resolve));
  socket = `tcp://127.0.0.1:${(daemon.address() as AddressInfo).port}`;
});
after(async () => {
  daemon.closeAllConnections();
  daemon.close();
  await rm(folder, { recursive: true, force: true });
});

let config: string;
let count = 0;
beforeEach(async () => {
  asked = [];
  identityToken = "";
  config = join(folder, `config-${count++}`);
  await mkdir(config);
});
const environment = () => ({
  DOCKER_HOST: socket,
  DOCKER_CONFIG: config,
  STORE: config,
  PATH: `${join(folder, "bin")}:/usr/bin:/bin`,
});
async function gantry(argv: string[], stdin = "") {
  const io = memoryIo(argv, { env: environment(), stdin });
  const code = await main(io);
  return { code, stdout: io.stdoutText(), stderr: io.stderrText() };
}
const writeConfig = (value: object) =>
  writeFile(join(config, "config.json"), JSON.stringify(value));
const readConfig = async () =>
  JSON.parse(await readFile(join(config, "config.json"), "utf8")) as Record<string, unknown>;
const calls = async () => (await readFile(join(config, "calls"), "utf8")).trim().split("\n");

describe("logins", () => {
  test("a login goes into the file, which keeps what others wrote", async () => {
    await writeConfig({ plugins: { x: { y: "z" } }, HttpHeaders: { A: "b" } });
    const login = ["login", "-u", "me", "--password-stdin", "r.example:5000"];
    const { code, stdout, stderr } = await gantry(login, "secret\n");
    assert.deepEqual([code, stdout], [0, "Login Succeeded\n"]);
    const path = join(config, "config.json");
    assert.match(stderr, /WARNING! Your credentials are stored unencrypted in '.*config\.json'/);
    assert.deepEqual(await readConfig(), {
      plugins: { x: { y: "z" } },
      HttpHeaders: { A: "b" },
      auths: { "r.example:5000": { auth: Buffer.from("me:secret").toString("base64") } },
    });
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const again = await gantry(["login", "r.example:5000"]);
    assert.match(again.stderr, /Authenticating with existing credentials\.\.\. \[Username: me\]/);
    assert.equal(again.stdout, "Login Succeeded\n");
    const gone = await gantry(["logout", "r.example:5000"]);
    assert.equal(gone.stdout, "Removing login credentials for r.example:5000\n");
    assert.deepEqual((await readConfig())["auths"], {});
  });

  test("what a registry gives for the password is kept instead of it", async () => {
    identityToken = "refresh";
    await gantry(["login", "-u", "me", "-p", "secret", "r.example"]);
    const auth = Buffer.from("me:").toString("base64");
    assert.deepEqual((await readConfig())["auths"], {
      "r.example": { auth, identitytoken: "refresh" },
    });
  });

  test("a refused login changes nothing and says why", async () => {
    const { code, stderr } = await gantry(["login", "-u", "me", "-p", "wrong", "r.example"]);
    assert.equal(code, 1);
    assert.match(stderr, /^WARNING! Using --password via the CLI is insecure/);
    assert.match(stderr, /unauthorized: incorrect username or password/);
    assert.deepEqual(await readdir(config), []);
  });

  const USAGE: [string[], string][] = [
    [
      ["-u", "x", "-p", "y", "--password-stdin"],
      "conflicting options: cannot specify both --password and --password-stdin",
    ],
    [["--password-stdin"], "the --password-stdin option requires --username to be set"],
    [["-u", "x"], "Error: Cannot perform an interactive login from a non TTY device"],
    [[], "Error: Cannot perform an interactive login from a non TTY device"],
  ];
  for (const [flags, expected] of USAGE) {
    test(`login ${flags.join(" ")} is refused as docker refuses it`, async () => {
      const { code, stderr } = await gantry(["login", ...flags, "r.example"]);
      assert.equal(code, 1);
      assert.equal(stderr.trim().split("\n").at(-1), expected);
    });
  }

  test("helpers keep, tell and forget, each for its registries", async () => {
    await writeConfig({ credsStore: "one", credHelpers: { "b.example": "two", "c.example": "" } });
    for (const host of ["a.example", "b.example", "c.example"]) {
      const { code } = await gantry(["login", "-u", "me", "-p", "secret", host]);
      assert.equal(code, 0);
    }
    const auth = Buffer.from("me:secret").toString("base64");
    const { auths } = await readConfig();
    assert.deepEqual(auths, { "a.example": {}, "b.example": {}, "c.example": { auth } });
    const stored = (await calls()).filter((call) => call.startsWith("store "));
    assert.deepEqual(
      stored.map((call) => JSON.parse(call.slice("store ".length))),
      ["a.example", "b.example"].map((ServerURL) => ({
        ServerURL,
        Username: "me",
        Secret: "secret",
      })),
    );
    asked = [];
    await gantry(["login", "a.example"]);
    assert.deepEqual(asked, [{ serveraddress: "a.example", username: "me", password: "secret" }]);
    await gantry(["logout", "a.example"]);
    assert.ok((await calls()).includes("erase a.example"));
    const none = await gantry(["login", "a.example"]);
    assert.equal(none.code, 1);
  });

  test("every login is found, also those that only a helper knows", async () => {
    const auth = Buffer.from("file:x").toString("base64");
    await writeConfig({
      auths: { "https://index.docker.io/v1/": { auth } },
      credHelpers: { "h.example": "two" },
    });
    await gantry(["login", "-u", "me", "-p", "secret", "h.example"]);
    const io = memoryIo([], { env: environment() });
    const session = new Session(io, parseFlags(GLOBAL_FLAGS, [], { interspersed: false }));
    const found = await allLogins(session);
    assert.deepEqual([...found].map(([address, { username }]) => [address, username]).sort(), [
      ["h.example", "me"],
      ["https://index.docker.io/v1/", "file"],
    ]);
  });

  test("a helper that fails is named, and a refresh token has its own user", async () => {
    await writeConfig({ credsStore: "bad" });
    const { code, stderr } = await gantry(["login", "-u", "me", "-p", "secret", "a.example"]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /error storing credentials - err: exit status 3, out: `the keychain is locked`/,
    );
    await writeConfig({ credsStore: "gone" });
    const gone = await gantry(["login", "a.example"]);
    assert.match(
      gone.stderr,
      /err: exec: "docker-credential-gone": executable file not found in \$PATH/,
    );
    await writeConfig({ credsStore: "one" });
    identityToken = "refresh";
    await gantry(["login", "-u", "me", "-p", "secret", "a.example"]);
    assert.match((await calls()).at(-1)!, /"Username":"<token>","Secret":"refresh"/);
    asked = [];
    await gantry(["login", "a.example"]);
    assert.deepEqual(asked, [{ serveraddress: "a.example", identitytoken: "refresh" }]);
  });
});

describe("manifests", () => {
  const TYPE = "application/vnd.docker.distribution.manifest.v2+json";
  const LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip";
  const digests: Record<string, string> = {};
  let registry: FakeRegistry;
  before(async () => {
    registry = await FakeRegistry.listen({ user: { name: "me", password: "secret" } });
    for (const architecture of ["amd64", "arm64"]) {
      const diff_ids = [digest("x")];
      const document = { architecture, os: "linux", rootfs: { type: "layers", diff_ids } };
      const mediaType = "application/vnd.docker.container.image.v1+json";
      const config = registry.putBlob("t/a", Buffer.from(JSON.stringify(document)));
      const layer = registry.putBlob("t/a", Buffer.from("layer"));
      const manifest = {
        schemaVersion: 2,
        mediaType: TYPE,
        config: { mediaType, ...config },
        layers: [{ mediaType: LAYER, ...layer }],
      };
      digests[architecture] = registry.putManifest("t/a", architecture, manifest, TYPE);
    }
  });
  after(() => registry[Symbol.asyncDispose]());
  beforeEach(() => {
    const auth = Buffer.from("me:secret").toString("base64");
    return writeConfig({ auths: { [registry.host]: { auth } } });
  });
  const ok = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await gantry(args);
    assert.equal(code, 0, stderr);
    return stdout;
  };

  test("a list is put together, annotated, pushed and read back", async () => {
    const [list, amd64, arm64] = ["multi", "amd64", "arm64"].map(
      (tag) => `${registry.host}/t/a:${tag}`,
    ) as [string, string, string];
    const made = await ok("manifest", "create", list, amd64, arm64);
    assert.equal(made, `Created manifest list ${list}\n`);
    const again = await gantry(["manifest", "create", list, amd64]);
    assert.equal(
      again.stderr,
      "refusing to amend an existing manifest list with no --amend flag\n",
    );
    await ok("manifest", "create", "--amend", list, amd64);
    await ok("manifest", "annotate", "--variant", "v8", "--os-features", "a,b", list, arm64);
    const bogus = await gantry(["manifest", "annotate", "--arch", "bogus", list, arm64]);
    assert.equal(
      bogus.stderr,
      "manifest entry for image has unsupported os/arch combination: /bogus\n",
    );
    const folderName = list.replaceAll(":", "-").replaceAll("/", "_");
    const files = await readdir(join(config, "manifests", folderName));
    assert.deepEqual(
      files.sort(),
      [amd64, arm64].map((name) => name.replaceAll(":", "-").replaceAll("/", "_")),
    );
    const local = await ok("manifest", "inspect", list);
    const pushed = await ok("manifest", "push", "--purge", list);
    assert.equal(pushed, `${digest(local.trimEnd())}\n`);
    assert.deepEqual(await readdir(join(config, "manifests")), []);
    assert.equal(await ok("manifest", "inspect", list), local);
    assert.deepEqual(JSON.parse(local), {
      schemaVersion: 2,
      mediaType: "application/vnd.docker.distribution.manifest.list.v2+json",
      manifests: ["amd64", "arm64"].map((architecture) => ({
        mediaType: TYPE,
        size: registry.manifests.get(`t/a ${architecture}`)!.raw.length,
        digest: digests[architecture],
        platform: {
          architecture,
          os: "linux",
          ...(architecture === "arm64" ? { "os.features": ["a", "b"], variant: "v8" } : {}),
        },
      })),
    });
    const verbose = JSON.parse(await ok("manifest", "inspect", "-v", list));
    assert.deepEqual(
      verbose.map(({ Ref }: { Ref: string }) => Ref),
      ["amd64", "arm64"].map((architecture) => `${list}@${digests[architecture]}`),
    );
  });

  test("images of another repository of the registry are mounted into the list's", async () => {
    const list = `${registry.host}/other/b:1`;
    await ok("manifest", "create", list, `${registry.host}/t/a:amd64`);
    const pushed = await ok("manifest", "push", list);
    assert.match(pushed, /^Pushed ref .*\/other\/b:1@sha256:\S+ with digest: sha256:/);
    assert.ok(registry.manifests.has(`other/b ${digests["amd64"]}`));
    const away = "elsewhere.example/x:1";
    await ok("manifest", "create", away, `${registry.host}/t/a:amd64`);
    const refused = await gantry(["manifest", "push", away]);
    assert.match(refused.stderr, /^cannot use source images from a different registry than/);
    await ok("manifest", "rm", away, list);
    const gone = await gantry(["manifest", "rm", list]);
    assert.equal(gone.stderr, `No such manifest: ${list}\n`);
  });

  test("what is not there is said, and a list is no image of a list", async () => {
    const missing = `${registry.host}/t/a:none`;
    const { code, stderr } = await gantry(["manifest", "inspect", missing]);
    assert.deepEqual([code, stderr], [1, `no such manifest: ${missing}\n`]);
    const list = `${registry.host}/t/a:multi2`;
    await ok("manifest", "create", list, `${registry.host}/t/a:amd64`);
    await ok("manifest", "push", "-p", list);
    const nested = await gantry(["manifest", "create", `${registry.host}/t/a:nest`, list]);
    assert.equal(nested.stderr, `${list} is a manifest list\n`);
  });

  test("referrers are shown as a table and as JSON", async () => {
    const subject = digests["amd64"]!;
    const signature = {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest: `sha256:${"1".repeat(64)}`,
      size: 1234,
      artifactType: "application/vnd.example.signature",
    };
    const index = { schemaVersion: 2, manifests: [signature] };
    const type = "application/vnd.oci.image.index.v1+json";
    registry.putManifest("t/a", subject.replace(":", "-"), index, type);
    const image = `${registry.host}/t/a:amd64`;
    const table = await ok("image", "referrers", image);
    assert.match(
      table,
      /^DIGEST +TYPE +SIZE\n1{12} +application\/vnd\.example\.signature +1\.234kB\n$/,
    );
    assert.equal(await ok("image", "referrers", "-q", image), `${signature.digest}\n`);
    const line = JSON.parse(await ok("image", "referrers", "--format", "json", image));
    assert.equal(line.ArtifactType, "application/vnd.example.signature");
    const other = await ok("image", "referrers", "-q", "--artifact-type", "text/x", image);
    assert.equal(other, "");
  });
});
