// What comes out of builds as stock clients see it: docker buildx asks for images, archives and
// folders, our registry takes what is pushed, skopeo reads it; imagetools say what buildx says.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { dockerCli, dockerConfig, whyNoPlugin } from "../support/docker-plugins.ts";
import { RegistryProcess } from "../support/registry-process.ts";
import { root, startDaemon, type TestDaemon } from "./harness.ts";
import { run } from "./process.ts";

const skip = process.getuid?.() === 0 ? whyNoPlugin("docker-buildx") : "needs root";
const skopeo = (process.env["PATH"] ?? "").split(":").find((at) => existsSync(join(at, "skopeo")));
const noSkopeo = skopeo === undefined && "needs skopeo: apt-get install";
const GANTRY = join(root, "bin/gantry");
const FILE = "FROM scratch\nARG TARGETARCH\nCOPY <<EOT /arch\n$TARGETARCH\nEOT\nCOPY a.txt /\n";
const BOTH = ["--platform", "linux/amd64,linux/arm64"];

describe("outputs that stock clients ask for", { skip }, () => {
  let daemon: TestDaemon;
  let registry: RegistryProcess;
  let context: string;
  let env: Record<string, string>;
  before(async () => {
    daemon = await startDaemon({ bare: true });
    registry = await RegistryProcess.start({ netnsOf: daemon.namespacesPid });
    context = join(daemon.folder, "context");
    await mkdir(context);
    await writeFile(join(context, "Dockerfile"), FILE);
    await writeFile(join(context, "a.txt"), "a\n");
    env = { ...daemon.env, DOCKER_CONFIG: await dockerConfig(join(daemon.folder, "buildx")) };
  });
  after(async () => {
    await registry?.stop();
    await daemon?.stop();
  });

  /** Where the daemon and its registry are, as a host of their own. */
  async function on(command: string, ...args: string[]): Promise<string> {
    const host = ["-t", String(daemon.namespacesPid), "-n", "--", command, ...args];
    const { code, stdout, stderr } = await run("nsenter", host, { env });
    assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
    return stdout;
  }
  const buildx = (...args: string[]) => on(dockerCli(), "buildx", ...args);
  const ours = (...args: string[]) => on(GANTRY, "buildx", ...args);
  const docker = (...args: string[]) => on(dockerCli(), ...args);
  const path = (name: string) => join(daemon.folder, name);
  async function build(...args: string[]): Promise<Record<string, string>> {
    const metadata = path("metadata.json");
    await buildx("build", "-q", "--metadata-file", metadata, ...args, context);
    return JSON.parse(await readFile(metadata, "utf8"));
  }

  test("an image, its id and its digest are where the client says", async () => {
    const metadata = await build("-t", "plain:1", "--iidfile", path("iid"));
    const { invocation } = metadata["buildx.build.provenance"] as never;
    assert.deepEqual((invocation as { configSource: object }).configSource, {
      entryPoint: "Dockerfile",
    });
    const id = await readFile(path("iid"), "utf8");
    assert.equal(metadata["containerimage.config.digest"], id);
    assert.equal((await docker("image", "inspect", "-f", "{{.Id}}", "plain:1")).trim(), id);
  });

  test("files come as a folder and as a tar", async () => {
    await buildx("build", "-q", "-o", path("folder"), context);
    assert.equal(await readFile(path("folder/a.txt"), "utf8"), "a\n");
    await buildx("build", "-q", "-o", `type=tar,dest=${path("out.tar")}`, ...BOTH, context);
    const { stdout } = await run("tar", ["-tf", path("out.tar")]);
    assert.deepEqual(stdout.trim().split("\n"), [
      ...["linux_amd64/", "linux_amd64/a.txt", "linux_amd64/arch"],
      ...["linux_arm64/", "linux_arm64/a.txt", "linux_arm64/arch"],
    ]);
  });

  test("archives can be loaded, and other tools read them", { skip: noSkopeo }, async () => {
    const metadata = await build("-o", `type=oci,dest=${path("oci.tar")},name=laid:1`, ...BOTH);
    const raw = await on("skopeo", "inspect", "--raw", `oci-archive:${path("oci.tar")}`);
    const { manifests } = JSON.parse(raw);
    const images = manifests.filter(
      (one: { platform: { os: string } }) => one.platform.os === "linux",
    );
    assert.equal(images.length, 2);
    await build("-o", `type=oci,dest=${path("layout")},tar=false`, "-t", "laid:2");
    await on("skopeo", "inspect", `oci:${path("layout")}:2`);
    const one = await build("-o", `type=docker,dest=${path("docker.tar")},name=loaded:1`);
    await on("skopeo", "inspect", `docker-archive:${path("docker.tar")}`);
    await docker("load", "-q", "-i", path("docker.tar"));
    const id = (await docker("image", "inspect", "-f", "{{.Id}}", "loaded:1")).trim();
    assert.equal(id, one["containerimage.config.digest"]);
    assert.equal(metadata["image.name"], "docker.io/library/laid:1");
  });

  test("an attested image of several platforms is pushed whole, twice alike", async () => {
    const name = `${registry.host}/team/app:1`;
    const attest = ["--provenance=mode=max", "--sbom=true"];
    const metadata = await build("-t", name, "--push", ...BOTH, ...attest);
    const raw = JSON.parse(await buildx("imagetools", "inspect", "--raw", name));
    assert.equal(raw.manifests.length, 4);
    const provenance = JSON.parse(
      await buildx("imagetools", "inspect", "--format", "{{json .Provenance}}", name),
    );
    assert.deepEqual(Object.keys(provenance), ["linux/amd64", "linux/arm64"]);
    for (const platform of ["linux/amd64", "linux/arm64"]) {
      assert.ok(metadata[`buildx.build.provenance/${platform}`], Object.keys(metadata).join());
    }
    assert.equal(provenance["linux/amd64"].SLSA.buildType, "https://mobyproject.org/buildkit@v1");
    const sbom = JSON.parse(
      await buildx("imagetools", "inspect", "--format", "{{json .SBOM}}", name),
    );
    assert.equal(sbom["linux/arm64"].SPDX.spdxVersion, "SPDX-2.3");
    // The name stands for all of it, also under another name.
    const other = `${registry.host}/team/moved:1`;
    await docker("tag", name, other);
    await docker("push", "-q", other);
    const digest = metadata["containerimage.digest"];
    assert.match(await ours("imagetools", "inspect", other), new RegExp(`Digest: +${digest}\n`));
  });

  test("imagetools say of an image what buildx' say", async () => {
    const name = `${registry.host}/team/said:1`;
    await build("-t", name, "--push", ...BOTH, "--sbom=true", "--provenance=mode=min");
    const formats = ["{{.Name}}", "{{json .Manifest}}", "{{json .SBOM}}", "{{json .Provenance}}"];
    for (const args of [["--raw"], ...formats.map((format) => ["--format", format])]) {
      const [theirs, own] = await Promise.all([
        buildx("imagetools", "inspect", ...args, name),
        ours("imagetools", "inspect", ...args, name),
      ]);
      assert.equal(own, theirs, args.join(" "));
    }
    // buildx prints annotations in no order.
    const sorted = (text: string) => text.split("\n").sort();
    const texts = [
      await buildx("imagetools", "inspect", name),
      await ours("imagetools", "inspect", name),
    ];
    assert.deepEqual(sorted(texts[1]!), sorted(texts[0]!));
    for (const args of [[name], ["--annotation", "manifest-descriptor[linux/arm64]:a=b", name]]) {
      assert.equal(
        await ours("imagetools", "create", "--dry-run", ...args),
        await buildx("imagetools", "create", "--dry-run", ...args),
      );
    }
  });

  test("imagetools put images of several repositories together", async () => {
    const [amd, arm, both] = ["amd", "arm", "both"].map((tag) => `${registry.host}/parts/${tag}:1`);
    await build("-t", amd!, "--push", "--provenance=false");
    await build("-t", arm!, "--push", "--provenance=false", "--platform", "linux/arm64");
    await ours("imagetools", "create", "-t", both!, "--annotation", "index:who=me", amd!);
    await ours("imagetools", "create", "-t", both!, "--append", arm!);
    const index = JSON.parse(await buildx("imagetools", "inspect", "--raw", both!));
    assert.deepEqual(
      index.manifests.map(
        ({ platform }: { platform: { architecture: string } }) => platform.architecture,
      ),
      ["amd64", "arm64"],
    );
    // Every blob has come along: the daemon can pull it.
    await docker("rmi", "-f", amd!);
    await docker("pull", "-q", both!);
    const copy = `${registry.host}/parts/copy:1`;
    await ours("imagetools", "create", "--prefer-index=false", "-t", copy, amd!);
    assert.equal(
      await ours("imagetools", "inspect", "--raw", copy),
      await ours("imagetools", "inspect", "--raw", amd!),
    );
  });

  test("an image with all that belongs to it moves to another registry", async () => {
    await using elsewhere = new AsyncDisposableStack();
    const other = await RegistryProcess.start({ netnsOf: daemon.namespacesPid });
    elsewhere.defer(() => other.stop());
    const name = `${registry.host}/team/goes:1`;
    const moved = `${other.host}/came/here:2`;
    await build("-t", name, "--push", ...BOTH, "--sbom=true");
    const file = path("written.json");
    await ours("imagetools", "create", "-t", moved, "--metadata-file", file, name);
    const raw = await ours("imagetools", "inspect", "--raw", moved);
    assert.equal(raw, await ours("imagetools", "inspect", "--raw", name));
    const sbom = await buildx("imagetools", "inspect", "--format", "{{json .SBOM}}", moved);
    assert.deepEqual(Object.keys(JSON.parse(sbom)), ["linux/amd64", "linux/arm64"]);
    const written = JSON.parse(await readFile(file, "utf8"));
    assert.equal(written["image.name"], moved);
    await docker("pull", "-q", moved);
  });

  test("what an exporter does not know is refused with what it does", async () => {
    const args = ["build", "-q", "-o", "type=image,name=x,colour=red", context];
    const { code, stderr } = await run(dockerCli(), ["buildx", ...args], { env });
    assert.equal(code, 1);
    assert.match(stderr, /output "image" has no attribute "colour": one of name, compression,/);
  });
});
