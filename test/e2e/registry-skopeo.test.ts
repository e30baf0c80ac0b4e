// skopeo (Debian's) copies images between our registry, Debian's docker-registry and local layouts,
// in every direction: what arrives has the digest that left. Also whole indexes (--all) and a
// change of format. .ci/run installs both; elsewhere the test says what is missing.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { Pusher, RegistryProcess, sha256 } from "../support/registry-process.ts";
import { run } from "./process.ts";

const missing = ["skopeo", "docker-registry"].filter(
  (program) => !(process.env["PATH"] ?? "").split(":").some((at) => existsSync(join(at, program))),
);
const skip = missing.length > 0 && `needs ${missing.join(" and ")}: apt-get install`;
const READY_DEADLINE_MS = 60_000;

/** Debian's docker-registry on a free port. */
class DebianRegistry {
  readonly host: string;
  readonly #child: ChildProcess;

  constructor(host: string, child: ChildProcess) {
    this.host = host;
    this.#child = child;
  }

  static async start(folder: string): Promise<DebianRegistry> {
    const host = `127.0.0.1:${await freePort()}`;
    const config = join(folder, "debian.yml");
    await writeFile(
      config,
      `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${join(folder, "debian")} }, delete: { enabled: true } }
http: { addr: "${host}" }
`,
    );
    const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
    const deadline = Date.now() + READY_DEADLINE_MS;
    while (
      !(await fetch(`http://${host}/v2/`).then(
        () => true,
        () => false,
      ))
    ) {
      if (Date.now() > deadline) throw new Error("docker-registry does not start");
      await delay(50);
    }
    return new DebianRegistry(host, child);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("skopeo", { skip }, () => {
  let folder: string;
  let ours: RegistryProcess;
  let debian: DebianRegistry;
  const copy = async (from: string, to: string, ...flags: string[]) => {
    const tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    const args = ["--insecure-policy", "copy", "-q", ...tls, ...flags, from, to];
    const { code, stderr } = await run("skopeo", args, { env: { TMPDIR: folder } });
    assert.equal(code, 0, `skopeo copy ${from} ${to}: ${stderr}`);
  };
  /** Digest of the raw manifest, as skopeo reads it. */
  const digest = async (reference: string) => {
    const args = ["inspect", "--raw", "--tls-verify=false", reference];
    const { code, stdout, stderr } = await run("skopeo", args);
    assert.equal(code, 0, `skopeo inspect ${reference}: ${stderr}`);
    return sha256(stdout);
  };
  const at = (host: string, name: string) => `docker://${host}/${name}`;
  const local = (kind: string, name: string) => `${kind}:${join(folder, `${kind}-${name}`)}`;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gantry-skopeo-"));
    ours = await RegistryProcess.start();
    debian = await DebianRegistry.start(folder);
    await fill(new Pusher(ours.url));
  });
  after(async () => {
    await debian?.stop();
    await ours?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test("moves an OCI image in every direction with the same digest", async () => {
    const start = await digest(at(ours.host, "team/app:1"));
    const steps = [
      at(debian.host, "step/one:1"),
      local("oci", "one"),
      at(ours.host, "step/two:1"),
      local("dir", "two"),
      at(debian.host, "step/three:1"),
      local("oci", "three"),
      at(debian.host, "step/four:1"),
      local("dir", "four"),
      at(ours.host, "step/five:1"),
      at(ours.host, "step/six:1"),
    ];
    let from = at(ours.host, "team/app:1");
    for (const to of steps) {
      await copy(from, to);
      assert.equal(await digest(to), start, `${from} → ${to}`);
      from = to;
    }
  });

  test("moves a docker schema 2 image in every direction with the same digest", async () => {
    const source = at(ours.host, "team/docker:1");
    await copy(at(ours.host, "team/app:1"), source, "--format", "v2s2");
    const start = await digest(source);
    assert.notEqual(start, await digest(at(ours.host, "team/app:1")));
    let from = source;
    for (const to of [
      at(debian.host, "docker/one:1"),
      local("dir", "docker"),
      at(ours.host, "docker/two:1"),
    ]) {
      await copy(from, to);
      assert.equal(await digest(to), start, `${from} → ${to}`);
      from = to;
    }
  });

  test("moves an index with all its images (--all)", async () => {
    const start = await digest(at(ours.host, "team/app:multi"));
    let from = at(ours.host, "team/app:multi");
    for (const to of [
      at(debian.host, "multi/one:1"),
      local("oci", "multi"),
      at(ours.host, "multi/two:1"),
      local("dir", "multi"),
      at(ours.host, "multi/three:1"),
    ]) {
      await copy(from, to, "--all");
      assert.equal(await digest(to), start, `${from} → ${to}`);
      from = to;
    }
    for (const architecture of ["amd64", "arm64"]) {
      const args = ["--override-arch", architecture, "inspect", "--config", "--tls-verify=false"];
      const { stdout } = await run("skopeo", [...args, at(ours.host, "multi/three:1")]);
      assert.equal((JSON.parse(stdout) as { architecture: string }).architecture, architecture);
    }
  });

  test("goes through a docker archive, which keeps configuration and layers", async () => {
    const archive = `docker-archive:${join(folder, "image.tar")}:team/app:1`;
    await copy(at(ours.host, "team/docker:1"), archive);
    await copy(archive, at(ours.host, "archive/ours:1"));
    await copy(archive, at(debian.host, "archive/debian:1"));
    const config = async (reference: string) => {
      const args = ["inspect", "--config", "--raw", "--tls-verify=false", reference];
      return sha256((await run("skopeo", args)).stdout);
    };
    const start = await config(at(ours.host, "team/docker:1"));
    assert.equal(await config(at(ours.host, "archive/ours:1")), start);
    assert.equal(await config(at(debian.host, "archive/debian:1")), start);
    assert.equal(
      await digest(at(ours.host, "archive/ours:1")),
      await digest(at(debian.host, "archive/debian:1")),
    );
  });

  test("lists tags and deletes", async () => {
    const args = ["list-tags", "--tls-verify=false", at(ours.host, "team/app")];
    const { Tags } = JSON.parse((await run("skopeo", args)).stdout) as { Tags: string[] };
    assert.deepEqual(Tags, ["1", "arm", "multi"]);
    await copy(at(ours.host, "team/app:1"), at(ours.host, "team/gone:1"));
    const gone = at(ours.host, "team/gone:1");
    assert.equal((await run("skopeo", ["delete", "--tls-verify=false", gone])).code, 0);
    assert.notEqual((await run("skopeo", ["inspect", "--tls-verify=false", gone])).code, 0);
  });

  test("our registry serves the folder of Debian's", async () => {
    const start = await digest(at(debian.host, "multi/one:1"));
    const root = join(folder, "debian");
    assert.ok((await readFile(join(root, repository("multi/one", "1")), "utf8")).includes(start));
    const served = await RegistryProcess.start({ args: ["--root", root, "--read-only"] });
    try {
      assert.equal(await digest(at(served.host, "multi/one:1")), start);
      await copy(at(served.host, "multi/one:1"), local("dir", "served"), "--all");
    } finally {
      await served.stop();
    }
  });
});

function repository(name: string, tag: string): string {
  return `docker/registry/v2/repositories/${name}/_manifests/tags/${tag}/current/link`;
}

/** Real layers: skopeo looks into what it converts. */
async function fill(pusher: Pusher): Promise<void> {
  const layer = (text: string) => {
    const tar = tarOf("file.txt", text);
    return { tar, gzip: gzipSync(tar) };
  };
  const [one, two] = [layer("one"), layer("two")];
  const image = async (reference: string, architecture: string, variant?: string) => ({
    ...(await pusher.image("team/app", reference, {
      layers: [one.gzip, two.gzip],
      config: {
        architecture,
        ...(variant && { variant }),
        config: { Cmd: ["sh"] },
        rootfs: { type: "layers", diff_ids: [sha256(one.tar), sha256(two.tar)] },
        history: [{ created_by: "one" }, { created_by: "two" }],
      },
    })),
    platform: { os: "linux", architecture, ...(variant && { variant }) },
  });
  await pusher.manifest("team/app", "multi", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [await image("1", "amd64"), await image("arm", "arm64", "v8")],
  });
}

/** An archive with one file. */
function tarOf(name: string, content: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        ", 148);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const body = Buffer.alloc(512);
  body.write(content);
  return Buffer.concat([header, body, Buffer.alloc(1024)]);
}
