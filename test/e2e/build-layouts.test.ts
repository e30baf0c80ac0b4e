// OCI layouts of the client as named contexts (`--build-context base=oci-layout://…`): what one
// build laid out is the base of another, through our own client and through stock buildx.

import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { dockerCli, dockerConfig, whyNoPlugin } from "../support/docker-plugins.ts";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { type Result, run } from "./process.ts";

const LAID_OUT =
  'FROM payload\nCOPY a.txt /copied\nRUN ["/bin/write", "/ran", "once"]\nENV LAID=out\n';
const BASED_ON = 'FROM base\nRUN ["/bin/env"]\nCOPY --from=base /ran /again\n';

/** The same for each client: `build` is its command, to its end. */
function layoutScenarios(daemon: () => TestDaemon, build: (...args: string[]) => Promise<Result>) {
  const path = (name: string) => join(daemon().folder, name);
  async function built(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await build(...args);
    assert.equal(code, 0, stderr + stdout);
    return stderr + stdout;
  }
  /** A folder to build, with this Dockerfile. */
  async function context(dockerfile: string, text = "hello"): Promise<string> {
    await mkdir(path("context"), { recursive: true });
    await writeFile(path("context/Dockerfile"), dockerfile);
    await writeFile(path("context/a.txt"), text);
    return path("context");
  }
  const base = (reference: string) => ["--build-context", `base=oci-layout://${reference}`];
  const cat = (image: string, file: string) =>
    daemon().ok("run", "--rm", "--network", "none", image, "/bin/cat", file);
  const layOut = (tag: string, folder: string) => [
    ...["-t", tag, "-o", `type=oci,dest=${path(folder)},tar=false`],
  ];

  test("a layout is a base and to copy from, by tag and by digest", async () => {
    await built(...layOut("laid:one", "layout"), await context(LAID_OUT));
    await built(...layOut("laid:two", "layout"), await context("FROM payload\nENV LAID=second\n"));
    await daemon().ok("builder", "prune", "-a", "-f"); // what is there now comes from the layout
    const folder = await context(BASED_ON);
    const output = await built("-t", "relaid:1", ...base(`${path("layout")}:one`), folder);
    assert.match(output, /LAID=out/);
    assert.equal(await cat("relaid:1", "/copied"), "hello");
    assert.equal(await cat("relaid:1", "/again"), "once");
    const { manifests } = JSON.parse(await readFile(path("layout/index.json"), "utf8")) as {
      manifests: { digest: string }[];
    };
    assert.equal(manifests.length, 2);
    const pinned = base(`${path("layout")}:one@${manifests[0]!.digest}`);
    assert.match(await built(...pinned, folder), /^#\d+ CACHED$/m);
  });

  test("sources that hold the same names make a layer that has each once, the last one's", async () => {
    const folder = await context("FROM scratch\n");
    const holds = ["one/x", "one/y", "two/x"];
    for (const name of ["one", "two"]) await mkdir(join(folder, name), { recursive: true });
    for (const name of holds) await writeFile(join(folder, name), name);
    await writeFile(join(folder, "two/y"), "two/y");
    const stage = "FROM scratch AS s\nCOPY one /one\nCOPY two /two\nFROM scratch\n";
    for (const copy of [
      "COPY one two /d/",
      "COPY --link */x /d/",
      `${stage}COPY --from=s one two /d/`,
    ]) {
      const text = copy.startsWith("FROM") ? copy : `FROM scratch\n${copy}`;
      await writeFile(join(folder, "Dockerfile"), `${text}\n`);
      await rm(path("each"), { recursive: true, force: true });
      const flags = `type=oci,dest=${path("each")},tar=false,compression=uncompressed`;
      await built("-o", flags, folder);
      const blob = async (digest: string) =>
        JSON.parse(await readFile(path(`each/blobs/sha256/${digest.slice(7)}`), "utf8"));
      const index = JSON.parse(await readFile(path("each/index.json"), "utf8"));
      const manifest = await blob(index.manifests[0].digest);
      const { layers } = (
        manifest.layers ? manifest : await blob(manifest.manifests[0].digest)
      ) as {
        layers: { digest: string }[];
      };
      const layer = path(`each/blobs/sha256/${layers.at(-1)!.digest.slice(7)}`);
      const names = (await run("tar", ["-tf", layer])).stdout.trim().split("\n");
      assert.equal(new Set(names).size, names.length, names.join(" "));
      assert.equal((await run("tar", ["-xOf", layer, "d/x"])).stdout, "two/x");
    }
  });

  test("a tag that the layout does not have is an error", async () => {
    const folder = await context(BASED_ON);
    const { code, stderr } = await build(...base(`${path("layout")}:three`), folder);
    assert.notEqual(code, 0);
    assert.match(stderr, /three/);
  });

  test("a layout whose blobs are not what they are called is no base", async () => {
    await rm(path("damaged"), { recursive: true, force: true });
    await built(...layOut("laid:one", "damaged"), await context(LAID_OUT, "other bytes"));
    await daemon().ok("builder", "prune", "-a", "-f");
    const blobs = path("damaged/blobs/sha256");
    for (const name of await readdir(blobs)) {
      const bytes = await readFile(join(blobs, name));
      const isDocument = bytes[0] === 0x7b;
      if (!isDocument) await writeFile(join(blobs, name), bytes.fill(0, bytes.length >> 1));
    }
    const folder = await context("FROM base\n");
    const { code } = await build("-t", "bad:1", ...base(`${path("damaged")}:one`), folder);
    assert.notEqual(code, 0, "it was taken");
    await assert.rejects(daemon().ok("image", "inspect", "bad:1"));
  });
}

describe("an OCI layout through gantry build", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  const flags = ["build", "--progress", "plain", "--network", "none"];
  layoutScenarios(
    () => daemon,
    (...args) => daemon.client([...flags, ...args]),
  );
});

const noBuildx = whyNoDaemon() || whyNoPlugin("docker-buildx");
describe("an OCI layout through stock buildx", { skip: noBuildx }, () => {
  let daemon: TestDaemon;
  let env: Record<string, string>;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
    const config = await dockerConfig(join(daemon.folder, "docker-config"));
    env = { ...daemon.env, DOCKER_CONFIG: config };
  });
  after(() => daemon.stop());
  const flags = ["buildx", "build", "--progress", "plain", "--network", "none"];
  layoutScenarios(
    () => daemon,
    (...args) => run(dockerCli(), [...flags, ...args], { env }),
  );
});
