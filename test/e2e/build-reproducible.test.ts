// The same files with the same SOURCE_DATE_EPOCH and rewrite-timestamp are the same image, byte for
// byte, whoever builds it and whenever: two daemons that know nothing of each other agree.

import assert from "node:assert/strict";
import { mkdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const EPOCH = "1700000000";
const DOCKERFILE = [
  "FROM payload AS made",
  'RUN ["/bin/seq", "mkdir /out", "write /out/a one", "write /out/b two", "chmod 600 /out/b"]',
  "FROM payload",
  "WORKDIR /there",
  "COPY . /there/",
  "COPY --from=made /out /out",
  'RUN ["/bin/seq", "append /out/a more", "symlink a /out/l", "rm /data/seed"]',
  "LABEL what=same",
].join("\n");

describe("builds of two daemons", { skip: whyNoDaemon() }, () => {
  let daemons: TestDaemon[] = [];
  before(async () => {
    daemons = await Promise.all([1, 2].map(() => startDaemon({ client: "gantry", bare: true })));
  });
  after(() => Promise.all(daemons.map((daemon) => daemon.stop())));

  /** The digest of the manifest; the files are made at another time each. */
  async function build(daemon: TestDaemon, seconds: number, ...more: string[]): Promise<string> {
    const context = join(daemon.folder, "context");
    await mkdir(join(context, "sub"), { recursive: true });
    for (const name of ["Dockerfile", "b.txt", "a.txt", "sub/c.txt"]) {
      await writeFile(join(context, name), name === "Dockerfile" ? DOCKERFILE : name);
      await utimes(join(context, name), seconds, seconds);
    }
    const metadata = join(daemon.folder, "metadata.json");
    const args = ["build", "--network", "none", "--metadata-file", metadata, ...more, context];
    const { code, stderr } = await daemon.client(args, { env: { SOURCE_DATE_EPOCH: EPOCH } });
    assert.equal(code, 0, stderr);
    const said = JSON.parse(await readFile(metadata, "utf8")) as Record<string, string>;
    return said["containerimage.digest"]!;
  }
  const output = (daemon: TestDaemon) => {
    const dest = join(daemon.folder, "out.tar");
    return ["-o", `type=oci,dest=${dest},rewrite-timestamp=true`, "--provenance=false"];
  };

  test("come to one manifest with SOURCE_DATE_EPOCH and rewrite-timestamp", async () => {
    const [one, two] = daemons as [TestDaemon, TestDaemon];
    await one.importPayload();
    // One base for both: an import has the time at which it was made.
    const base = join(one.folder, "base.tar");
    await one.ok("save", "-o", base, "payload");
    await two.ok("load", "-i", base);
    const now = Math.floor(Date.now() / 1000);
    const first = await build(one, now - 5000, ...output(one));
    assert.match(first, /^sha256:/);
    assert.equal(await build(two, now - 100, ...output(two)), first);
    assert.equal(await build(one, now - 7, "--no-cache", ...output(one)), first);
    const tars = await Promise.all(daemons.map(({ folder }) => readFile(join(folder, "out.tar"))));
    assert.ok(tars[0]!.equals(tars[1]!), "the archives differ");
    // The times are what it takes: without it they are others.
    assert.notEqual(await build(one, now - 3, "--no-cache", "--provenance=false"), first);
  });
});
