// `gantry build` and its family against a daemon of their own: where contexts and Dockerfiles come
// from, where results go, what is shown, and how it ends. Commands run in plain files, no shell:
// the payload's image has none.

import assert from "node:assert/strict";
import { readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { after, before, beforeEach, describe, test } from "node:test";
import { extract, pack } from "tar-stream";
import { writeFiles } from "../support/write-files.ts";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import type { Result, RunOptions } from "./process.ts";

const skip = whyNoDaemon();
const FILE = "FROM payload\nCOPY a.txt /copied/\n";

describe("gantry build", { skip }, () => {
  let daemon: TestDaemon;
  let folder: string;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());
  beforeEach(async () => {
    folder = join(daemon.folder, "context");
    await rm(folder, { recursive: true, force: true });
    await fill({ Dockerfile: FILE, "a.txt": "hello" });
  });

  const fill = (files: Record<string, string>) => writeFiles(folder, files);
  const build = (args: string[], options: RunOptions = {}): Promise<Result> =>
    daemon.client(["build", ...args], options);
  async function built(args: string[], options: RunOptions = {}): Promise<Result> {
    const result = await build(args, options);
    assert.equal(result.code, 0, result.stderr + result.stdout);
    return result;
  }
  const cat = (image: string, path: string) =>
    daemon.ok("run", "--rm", "--network", "none", image, "/bin/cat", path);

  test("a folder is built into an image with a name, and found the second time", async () => {
    const first = await built(["--progress", "plain", "-t", "one:1", folder]);
    assert.match(first.stderr, /^#\d+ \[internal\] load build definition from Dockerfile$/m);
    assert.match(first.stderr, /^#\d+ \[2\/2\] COPY a\.txt \/copied\/$/m);
    assert.match(first.stderr, /^#\d+ naming to docker\.io\/library\/one:1/m);
    assert.equal(await cat("one:1", "/copied/a.txt"), "hello");
    const again = await built(["--progress", "plain", "-t", "one:2", folder]);
    const [, number] = /^#(\d+) \[2\/2\] COPY/m.exec(again.stderr)!;
    assert.match(again.stderr, new RegExp(`^#${number} CACHED$`, "m"));
  });

  test("-q prints the id alone, --iidfile and --metadata-file keep it", async () => {
    const files = ["id", "metadata.json"].map((name) => join(daemon.folder, name));
    const { stdout, stderr } = await built([
      ...["-q", "--iidfile", files[0]!, "--metadata-file", files[1]!, "-t", "quiet:1", folder],
    ]);
    assert.match(stdout, /^sha256:[0-9a-f]{64}\n$/);
    assert.equal(stderr, "");
    assert.equal(await readFile(files[0]!, "utf8"), stdout.trim());
    const metadata = JSON.parse(await readFile(files[1]!, "utf8")) as Record<string, unknown>;
    assert.equal(metadata["containerimage.config.digest"], stdout.trim());
    assert.ok("invocation" in (metadata["buildx.build.provenance"] as object));
    assert.match(String(metadata["buildx.build.ref"]), /^default\/default\/\w{25}$/);
    assert.equal(await daemon.ok("image", "inspect", "-f", "{{.Id}}", "quiet:1"), stdout.trim());
  });

  test("the Dockerfile comes from -f inside or outside, from standard input, or with a tar", async () => {
    await fill({
      "sub/Other": `${FILE}LABEL from=inside\n`,
      "../Outside": `${FILE}LABEL from=outside\n`,
    });
    const label = async (args: string[], options: RunOptions = {}) => {
      await built(["-q", "-t", "label:1", ...args], options);
      return daemon.ok("image", "inspect", "-f", '{{index .Config.Labels "from"}}', "label:1");
    };
    assert.equal(await label(["-f", join(folder, "sub/Other"), folder]), "inside");
    assert.equal(await label(["-f", join(daemon.folder, "Outside"), folder]), "outside");
    const input = `${FILE}LABEL from=stdin\n`;
    assert.equal(await label(["-f", "-", folder], { input }), "stdin");
    assert.equal(await label(["-"], { input: "FROM payload\nLABEL from=alone\n" }), "alone");
    const tar = pack();
    tar.entry({ name: "Dockerfile" }, `${FILE}LABEL from=tar\n`);
    tar.entry({ name: "a.txt" }, "in the tar");
    tar.finalize();
    const bytes = await buffer(tar);
    assert.equal(await label(["-"], { input: bytes }), "tar");
    assert.equal(await cat("label:1", "/copied/a.txt"), "in the tar");
  });

  test("what .dockerignore leaves out is not there", async () => {
    await fill({
      Dockerfile: "FROM payload\nCOPY . /all\n",
      ".dockerignore": "*.log\n",
      "x.log": "",
    });
    await built(["-q", "-t", "ignored:1", folder]);
    await assert.rejects(cat("ignored:1", "/all/x.log"));
    assert.equal(await cat("ignored:1", "/all/a.txt"), "hello");
  });

  test("named contexts are folders, images and layouts", async () => {
    await fill({
      Dockerfile: "FROM base\nCOPY --from=data a.txt /d/\n",
      "../data/a.txt": "other",
    });
    await built([
      ...["-q", "-t", "named:1", "--build-context", `data=${join(daemon.folder, "data")}`],
      ...["--build-context", "base=docker-image://payload", folder],
    ]);
    assert.equal(await cat("named:1", "/d/a.txt"), "other");
  });

  test("results go to a folder, to a tar, and to standard output", async () => {
    await fill({ Dockerfile: "FROM scratch\nCOPY a.txt /deep/b.txt\n" });
    const target = join(daemon.folder, "out");
    await built(["-o", target, folder]);
    assert.equal(await readFile(join(target, "deep/b.txt"), "utf8"), "hello");
    await built(["-o", `type=tar,dest=${target}.tar`, folder]);
    assert.deepEqual(await namesIn(await readFile(`${target}.tar`)), ["deep/", "deep/b.txt"]);
    await built(["-o", `type=oci,dest=${target}.oci.tar`, folder]);
    const names = await namesIn(await readFile(`${target}.oci.tar`));
    assert.ok(names.includes("index.json") && names.includes("oci-layout"), names.join());
  });

  test("a cache in a folder is written and read", async () => {
    const cache = join(daemon.folder, "cache");
    await built(["-q", "--cache-to", `type=local,dest=${cache},mode=max`, folder]);
    assert.ok((await readdir(cache)).includes("index.json"));
    await daemon.ok("builder", "prune", "-a", "-f");
    const args = ["--progress", "plain", "--cache-from", `type=local,src=${cache}`, folder];
    const { stderr } = await built(args);
    const [, number] = /^#(\d+) \[2\/2\] COPY/m.exec(stderr)!;
    assert.match(stderr, new RegExp(`^#${number} CACHED$`, "m"));
  });

  test("a step that fails is shown with its lines, and nothing is left of it", async () => {
    await fill({ Dockerfile: 'FROM payload\nRUN ["/bin/exit", "7"]\n' });
    const { code, stderr } = await build(["--progress", "plain", folder]);
    assert.equal(code, 1);
    assert.match(stderr, /^------\n > \[2\/2\] RUN \["\/bin\/exit", "7"\]:\n/m);
    assert.match(stderr, /^Dockerfile:2\n-{20}\n {3}1 \| {5}FROM payload\n {3}2 \| >>> RUN/m);
    assert.match(
      stderr,
      /^ERROR: failed to build: failed to solve: process "\/bin\/exit 7" .* exit code: 7$/m,
    );
  });

  test("a terminal shows the steps, and Ctrl-C ends them at once", async () => {
    await fill({ Dockerfile: 'FROM payload\nRUN ["/bin/sleep", "600"]\n' });
    const session = daemon.terminal(["build", folder], { rows: 24, columns: 100 });
    await session.until(/\[2\/2\] RUN \["\/bin\/sleep", "600"\] +\d+\.\ds/);
    session.write("\x03");
    assert.equal(await session.exitCode(), 130);
    assert.match(session.text, /CANCELED \[2\/2\] RUN/);
    assert.match(session.text, /FINISHED[\s\S]*\x1b\[\?25h[\s\S]*context canceled/);
    const rows = await daemon.ok("builder", "history", "ls", "--format", "{{.Status}}");
    assert.equal(rows.split("\n")[0], "Canceled");
  });

  test("mistakes are told with what to do", async () => {
    await fill({ Dockerfile: "FORM payload\n" });
    const typo = await build(["--progress", "plain", folder]);
    assert.equal(typo.code, 1);
    assert.match(typo.stderr, /Dockerfile:1\n[\s\S]*>>> FORM[\s\S]*unknown instruction: FORM/);
    await fill({ Dockerfile: 'FROM payload\nSHELL ["/bin/bash", "-c"]\nRUN true\n' });
    const shell = await build(["--progress", "plain", folder]);
    assert.match(shell.stderr, /exit code: 127: unable to start .*exec: "\/bin\/bash": stat/);
    await fill({ Dockerfile: "FROM payload\nCOPY --from=127.0.0.1:1/none / /\n" });
    const image = await build(["--progress", "plain", folder]);
    assert.match(image.stderr, /Dockerfile:2\n[\s\S]*>>> COPY --from=127\.0\.0\.1:1\/none/);
    assert.match(image.stderr, /none: failed to resolve source metadata for 127\.0\.0\.1:1\/none/);
    await fill({ Dockerfile: "FROM payload\nRUN --mount=source=gone,target=/x true\n" });
    const mount = await build(["--progress", "plain", folder]);
    assert.match(mount.stderr, /failed to calculate checksum of ref \w+: "\/gone": not found/);
    const missing = await build([join(folder, "missing")]);
    assert.match(missing.stderr, /unable to prepare context: path ".*missing" not found/);
    const both = await build(["-f", "-", "-"], { input: "" });
    assert.match(both.stderr, /can't use stdin for both build context and dockerfile/);
    const secret = await build(["--secret", "id=x,src=/nowhere", folder]);
    assert.match(secret.stderr, /failed to stat \/nowhere/);
    const key = await build(["--ssh", `default=${join(folder, "a.txt")}`, folder]);
    assert.match(key.stderr, /failed to parse .*a\.txt: ssh: no key found/);
    const squash = await build(["--squash", folder]);
    assert.match(squash.stderr, /squash is not supported/);
    const builder = await build(["--builder", "other", folder]);
    assert.match(builder.stderr, /no builder "other" found/);
  });

  test("a check finds without building, and its exit code says so", async () => {
    await fill({ Dockerfile: "FROM payload as base\nCMD echo hi\n" });
    const { code, stdout } = await build(["--check", folder]);
    assert.equal(code, 1);
    assert.match(stdout, /^Check complete, 2 warnings have been found!$/m);
    assert.match(stdout, /^WARNING: FromAsCasing - https:/m);
    assert.match(stdout, /1 \| >>> FROM payload as base/);
    const json = await build(["--call", "check,format=json", folder]);
    const { warnings } = JSON.parse(json.stdout) as { warnings: { ruleName: string }[] };
    assert.deepEqual(warnings.map(({ ruleName }) => ruleName).sort(), [
      "FromAsCasing",
      "JSONArgsRecommended",
    ]);
    await fill({ Dockerfile: "FROM payload AS base\nFROM base AS app\n" });
    const targets = await built(["--call", "targets", folder]);
    assert.match(targets.stdout, /^base\b[\s\S]*^app\b/m);
    assert.match(
      (await built(["--check", folder])).stdout,
      /^Check complete, no warnings found\.$/m,
    );
  });

  test("raw JSON is one object a line", async () => {
    const { stderr } = await built(["--progress", "rawjson", folder]);
    const all = stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { vertexes?: { name: string }[] });
    const names = all.flatMap(({ vertexes = [] }) => vertexes.map(({ name }) => name));
    assert.ok(names.includes("[2/2] COPY a.txt /copied/"), names.join());
  });

  test("bake builds targets side by side, one from another's result", async () => {
    const bake = {
      group: { default: { targets: ["app", "tool"] } },
      target: {
        base: { context: folder },
        app: {
          "dockerfile-inline": "FROM base\nLABEL who=app\n",
          contexts: { base: "target:base" },
          tags: ["bake-app:1"],
        },
        tool: { inherits: ["app"], tags: ["bake-tool:1"], labels: { extra: "x" } },
      },
    };
    await fill({ "docker-bake.json": JSON.stringify(bake) });
    const file = join(folder, "docker-bake.json");
    const metadata = join(daemon.folder, "bake.json");
    const { code, stderr } = await daemon.client([
      ...["bake", "-f", file, "--progress", "plain", "--metadata-file", metadata],
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^#\d+ \[app internal\] load build definition from Dockerfile$/m);
    assert.equal(await cat("bake-app:1", "/copied/a.txt"), "hello");
    const labels = await daemon.ok(
      "image",
      "inspect",
      "-f",
      "{{json .Config.Labels}}",
      "bake-tool:1",
    );
    assert.deepEqual(JSON.parse(labels), { who: "app", extra: "x" });
    const written = JSON.parse(await readFile(metadata, "utf8")) as Record<string, unknown>;
    assert.deepEqual(Object.keys(written).sort(), ["app", "tool"]);
  });

  test("the builder tells what it has built and what it keeps", async () => {
    await built(["-q", folder]);
    await build(["-q", "--target", "none", folder]);
    const rows = (await daemon.ok("builder", "history", "ls", "--format", "{{.Ref}} {{.Status}}"))
      .split("\n")
      .map((row) => row.split(" "));
    assert.deepEqual(
      rows.slice(0, 2).map(([, status]) => status),
      ["Error", "Completed"],
    );
    const ref = rows[1]![0]!;
    const logs = await daemon.ok("builder", "history", "logs", ref);
    assert.match(logs, /\[2\/2\] COPY a\.txt/);
    assert.match(await daemon.ok("builder", "history", "inspect", ref), /^Status: +completed$/m);
    const attachment = ["builder", "history", "inspect", "attachment", "--type", "provenance"];
    const { metadata } = JSON.parse(await daemon.ok(...attachment, ref));
    assert.equal(metadata.buildInvocationID, ref);
    assert.match(await daemon.ok("builder", "history", "inspect", "--help"), /inspect \[OPTIONS\]/);
    await daemon.ok("builder", "history", "rm", ref);
    assert.match((await daemon.client([...attachment, ref])).stderr, /no record found for ref/);
    const gone = await daemon.client(["builder", "history", "inspect", ref]);
    assert.match(gone.stderr, /no record found for ref/);
    assert.match(await daemon.ok("buildx", "du"), /^Total: +/m);
    const planned = await daemon.ok("builder", "prune", "-a", "--dry-run");
    assert.match(planned, /^build-cache +\w+ .*COPY a\.txt/m);
    assert.match(planned, /Would reclaim: .* \(nothing was removed\)$/);
    const kept = await daemon.ok("builder", "prune", "-a", "--dry-run", "--reserved-space", "1gb");
    assert.equal(kept, "Would reclaim: 0B (nothing was removed)");
    assert.equal(await daemon.ok("builder", "prune", "-a", "--dry-run"), planned);
    assert.match(await daemon.ok("builder", "prune", "-a", "-f"), /^Total:\t/m);
    assert.match(await daemon.ok("buildx", "ls"), /^default\* +docker/m);
  });

  test("a Dockerfile at an address and build arguments of the environment", async () => {
    const text = `${FILE}ARG WHO\nLABEL who=$WHO\n`;
    const server = createServer((_request, response) => response.end(text));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/Dockerfile`;
    const args = ["-q", "-t", "url:1", "-f", url, "--build-arg", "WHO", folder];
    await built(args, { env: { WHO: "me" } });
    server.close();
    assert.equal(
      await daemon.ok("image", "inspect", "-f", '{{index .Config.Labels "who"}}', "url:1"),
      "me",
    );
  });
});

async function namesIn(tar: Buffer): Promise<string[]> {
  const names: string[] = [];
  const reader = extract();
  reader.end(tar);
  for await (const entry of reader) {
    names.push(entry.header.name);
    entry.resume();
  }
  return names;
}
