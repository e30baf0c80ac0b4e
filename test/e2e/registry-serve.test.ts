// `gantry registry serve` and `gc` as people run them: the command line, signals, reloads, many
// clients at once, a registry that is killed in the middle of a push, and the stock docker client
// through our daemon.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { Agent, get, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "node:tls";
import { Pusher, RegistryProcess, sha256 } from "../support/registry-process.ts";
import { dockerPath, IMAGE, root, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { run } from "./process.ts";

const GANTRY = join(root, "bin/gantry");
const DEADLINE_MS = 30_000;
const hasOpenssl = (process.env["PATH"] ?? "").split(":").some((at) => existsSync(`${at}/openssl`));
const noOpenssl = !hasOpenssl && "needs openssl: apt-get install openssl";

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`Waited in vain for ${what}`);
    await delay(20);
  }
}

describe("gantry registry serve", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gantry-serve-"));
  });
  after(async () => await rm(folder, { recursive: true, force: true }));
  const registry = (...args: string[]) => run(GANTRY, ["registry", ...args]);

  test("says what is wrong with its arguments and its configuration, with the line", async () => {
    const none = await registry("serve");
    assert.equal(none.code, 1);
    assert.match(none.stderr, /say where images are kept: --root DIR/);
    const flag = await registry("serve", "--rot", "x");
    assert.equal(flag.code, 125);
    assert.match(flag.stderr, /unknown flag: --rot/);
    const file = join(folder, "bad.yml");
    await writeFile(
      file,
      "root: images\nacess: {}\ntls:\n  certificate: a.pem\nlimits: { blobBytesMax: lots }\n",
    );
    const bad = await registry("serve", "--config", file);
    assert.equal(bad.code, 1);
    assert.match(
      bad.stderr,
      /bad\.yml:2:1: unknown key "acess" in the file: did you mean "access"/,
    );
    assert.match(bad.stderr, /bad\.yml:4:3: tls\.key is missing/);
    assert.match(bad.stderr, /bad\.yml:5:25: limits\.blobBytesMax must be a size/);
    const good = join(folder, "good.yml");
    await writeFile(good, "root: images\nlimits: { blobBytesMax: 1GiB }\n");
    const checked = await registry("serve", "--config", good, "--validate");
    assert.deepEqual([checked.code, checked.stderr], [0, "configuration OK\n"]);
  });

  test("refuses a folder that is something else's, and an address in use", async () => {
    const foreign = join(folder, "foreign");
    await mkdir(foreign);
    await writeFile(join(foreign, "daemon.lock"), "");
    for (const verb of ["serve", "gc"]) {
      const refused = await registry(verb, "--root", foreign);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /is not a registry's folder: it holds daemon\.lock/);
    }
    assert.deepEqual(await readdir(foreign), ["daemon.lock"]);
    const first = await RegistryProcess.start();
    try {
      const second = await registry("serve", "--root", join(folder, "x"), "--addr", first.host);
      assert.equal(second.code, 1);
      assert.match(second.stderr, /Cannot listen on 127\.0\.0\.1:\d+: it is in use/);
    } finally {
      await first.stop();
    }
  });

  test("lets an upload end when it is told to stop, and takes no new ones", async () => {
    const server = await RegistryProcess.start();
    try {
      const started = await fetch(`${server.url}/v2/a/b/blobs/uploads/`, { method: "POST" });
      const body = randomBytes(100_000);
      const location = new URL(started.headers.get("location")!, server.url);
      location.searchParams.set("digest", sha256(body));
      const put = request(location, {
        method: "PUT",
        headers: { "Content-Length": body.length },
      });
      put.write(body.subarray(0, 50_000));
      await until("the first half", async () => {
        const sizes = await uploadSizes(server.root);
        return sizes.some((size) => size > 0);
      });
      server.signal("SIGTERM");
      await until("a closed door", async () =>
        fetch(`${server.url}/v2/`).then(
          () => false,
          () => true,
        ),
      );
      put.end(body.subarray(50_000));
      const [answer] = (await once(put, "response")) as [{ statusCode: number; resume(): void }];
      answer.resume();
      assert.equal(answer.statusCode, 201);
      assert.equal(await server.end({ told: true }), 0);
      assert.match(server.log, /Registry shutdown complete/);
    } finally {
      await server.stop();
    }
  });

  test("a second signal in the last moment does not change how it ended", async () => {
    for (let round = 0; round < 4; round++) {
      const server = await RegistryProcess.start();
      try {
        server.signal("SIGTERM");
        await server.logged(/shutdown complete/);
        server.signal("SIGTERM");
        assert.equal(await server.end({ told: true }), 0);
      } finally {
        await server.stop();
      }
    }
  });

  test("reads a new certificate and opens its logs anew on SIGHUP", {
    skip: noOpenssl,
  }, async () => {
    const [first, second] = [certificate(folder, "one"), certificate(folder, "two")];
    const server = await RegistryProcess.start({
      files: { "cert.pem": first.certificate, "key.pem": first.key },
      config: `tls: { certificate: cert.pem, key: key.pem }
log: { file: "{folder}/registry.log" }
audit: { file: "{folder}/audit.log", rotateBytes: 0 }
`,
    });
    try {
      assert.equal(await servedName(server.host), "one");
      await rename(join(server.folder, "audit.log"), join(server.folder, "audit.old"));
      await writeFile(join(server.folder, "cert.pem"), second.certificate);
      await writeFile(join(server.folder, "key.pem"), second.key);
      server.signal("SIGHUP");
      await until("the new certificate", async () => (await servedName(server.host)) === "two");
      await until("a new audit log", async () =>
        stat(join(server.folder, "audit.log")).then(
          () => true,
          () => false,
        ),
      );
      await until("a line in the log", async () =>
        (await readFile(join(server.folder, "registry.log"), "utf8")).includes("opened logs anew"),
      );
    } finally {
      await server.stop();
    }
  });

  test("htpasswd makes an entry that the registry takes", async () => {
    const users = join(folder, "users");
    const args = ["registry", "htpasswd", "ada", "--file", users, "--cost", "5"];
    assert.equal((await run(GANTRY, args, { input: "secret\n" })).code, 0);
    const server = await RegistryProcess.start({ args: ["--htpasswd", users] });
    try {
      assert.equal((await fetch(`${server.url}/v2/`)).status, 401);
      const Authorization = `Basic ${btoa("ada:secret")}`;
      assert.equal((await fetch(`${server.url}/v2/`, { headers: { Authorization } })).status, 200);
    } finally {
      await server.stop();
    }
  });

  test("gc says what it would do, and leaves what is in use", async () => {
    const server = await RegistryProcess.start();
    try {
      const pusher = new Pusher(server.url);
      await pusher.image("a/b", "1");
      await pusher.blob("a/b", "text/plain", "nobody refers to this");
      const gc = (...args: string[]) => registry("gc", "--root", server.root, ...args);
      assert.match((await gc()).stdout, /set aside until a run after the grace: 0 /);
      const dry = await gc("--grace", "0s", "--dry-run");
      assert.equal(dry.code, 0, dry.stderr);
      assert.match(dry.stdout, /Unused, would be set aside .*: [1-9]/);
      await gc("--grace", "0s");
      await gc("--grace", "0s");
      const { status } = await fetch(`${server.url}/v2/a/b/manifests/1`);
      assert.equal(status, 200);
      const digest = sha256("nobody refers to this");
      assert.equal((await fetch(`${server.url}/v2/a/b/blobs/${digest}`)).status, 404);
      assert.equal((await fetch(`${server.url}/v2/a/b/blobs/${sha256("layer")}`)).status, 200);
    } finally {
      await server.stop();
    }
  });

  test("500 pulls at once all succeed", async () => {
    const server = await RegistryProcess.start();
    try {
      const layers = [randomBytes(300_000), randomBytes(20_000), randomBytes(100)];
      const pushed = await new Pusher(server.url).image("many/pulls", "1", { layers });
      const agent = new Agent({ keepAlive: true });
      const pull = async () => {
        const raw = await body(`${server.url}/v2/many/pulls/manifests/1`, agent);
        assert.equal(sha256(raw), pushed.digest);
        for (const layer of layers) {
          const digest = sha256(layer);
          const bytes = await body(`${server.url}/v2/many/pulls/blobs/${digest}`, agent);
          assert.equal(sha256(bytes), digest);
        }
      };
      const pulls = await Promise.allSettled(Array.from({ length: 500 }, pull));
      agent.destroy();
      const failed = pulls.filter(({ status }) => status === "rejected");
      assert.deepEqual(failed, []);
    } finally {
      await server.stop();
    }
  });
});

for (const client of ["docker", "gantry"] as const) {
  const noClient = client === "docker" && dockerPath === undefined && "needs the docker client";
  describe(`a registry of ours through ${client}`, { skip: whyNoDaemon() || noClient }, () => {
    let daemon: TestDaemon;
    let server: RegistryProcess;
    before(async () => {
      daemon = await startDaemon({ client });
      server = await RegistryProcess.start({
        netnsOf: daemon.holderPid,
        // Slow enough that a push can be cut in the middle.
        config: "access: { rateLimits: { bytesPerSecond: 6MiB } }\n",
      });
    });
    after(async () => {
      await server?.stop();
      await daemon?.stop();
    });

    test("takes a push, finds it, and gives it back", async () => {
      const name = `${server.host}/team/app:1`;
      await daemon.ok("tag", IMAGE, name);
      const pushed = await daemon.ok("push", name);
      const digest = /digest: (sha256:\S+)/.exec(pushed)![1]!;
      const found = await daemon.ok("search", `${server.host}/app`);
      assert.match(found, /team\/app/);
      const id = await daemon.ok("inspect", "-f", "{{.Id}}", name);
      await daemon.ok("rmi", name, IMAGE);
      assert.ok((await daemon.ok("pull", name)).includes(digest));
      assert.equal(await daemon.ok("inspect", "-f", "{{.Id}}", name), id);
      await daemon.ok("tag", name, IMAGE);
      await daemon.ok("run", "--rm", "--network", "none", name, "/bin/true");
    });

    test("killed in the middle of a push, it shows nothing half, and the retry completes", async () => {
      const name = `${server.host}/team/big:1`;
      const tar = join(daemon.folder, "big.tar");
      const content = join(daemon.folder, "content");
      await mkdir(content);
      await writeFile(join(content, "random"), randomBytes(12 << 20));
      execFileSync("tar", ["-C", content, "-cf", tar, "random"]);
      await daemon.ok("import", tar, name);
      const pushing = daemon.client(["push", name]);
      await until("bytes of an upload", async () => {
        return (await uploadSizes(server.root)).some((size) => size > 1 << 20);
      });
      await server.kill9();
      assert.deepEqual(await wrongBlobs(server.root), []);
      await server.start();
      // The push either goes on with the new process by itself, or fails and is repeated.
      await pushing;
      const pushed = await daemon.ok("push", name);
      assert.match(pushed, /digest: sha256:/);
      assert.deepEqual(await wrongBlobs(server.root), []);
      const id = await daemon.ok("inspect", "-f", "{{.Id}}", name);
      await daemon.ok("rmi", name);
      await daemon.ok("pull", name);
      assert.equal(await daemon.ok("inspect", "-f", "{{.Id}}", name), id);
    });
  });
}

async function body(url: string, agent: Agent): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    get(url, { agent }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        if (answer.statusCode === 200) resolve(Buffer.concat(chunks));
        else reject(new Error(`${url}: ${answer.statusCode} ${Buffer.concat(chunks)}`));
      });
    }).on("error", reject);
  });
}

async function files(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return all.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name));
}

/** Bytes of each file of an upload that has not ended. */
async function uploadSizes(storeRoot: string): Promise<number[]> {
  const uploads = (await files(storeRoot)).filter((path) => path.includes("/_uploads/"));
  return await Promise.all(
    uploads.map((path) =>
      stat(path).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
}

/** Blobs whose bytes are not those of their name. */
async function wrongBlobs(storeRoot: string): Promise<string[]> {
  const wrong: string[] = [];
  for (const path of await files(join(storeRoot, "docker/registry/v2/blobs"))) {
    const [, algorithm, digits] = /\/blobs\/(\w+)\/\w+\/(\w+)\/data$/.exec(path) ?? [];
    const hash = createHash(algorithm ?? "sha256");
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    if (hash.digest("hex") !== digits) wrong.push(path);
  }
  return wrong;
}

/** A self-signed one, by openssl. */
function certificate(folder: string, name: string): { certificate: string; key: string } {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  const subject = ["-subj", `/CN=${name}`, "-days", "2"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const args = ["req", "-x509", ...curve, "-keyout", key, "-out", cert, ...subject];
  execFileSync("openssl", args, { stdio: "ignore" });
  const read = (path: string) => execFileSync("cat", [path], { encoding: "utf8" });
  return { certificate: read(cert), key: read(key) };
}

async function servedName(host: string): Promise<string> {
  const [address, port] = host.split(":");
  const socket = connect({ host: address!, port: Number(port), rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const name = socket.getPeerCertificate().subject.CN;
  socket.destroy();
  return String(name);
}
