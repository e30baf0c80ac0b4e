// Archives and clearing up, with the stock docker client: save and load of several images, prune
// with each filter, history and df.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { payloadRootfs } from "../payload/payload.ts";
import { dockerPath, IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const skip = whyNoDaemon() || (dockerPath === undefined && "needs the docker client");

describe("archives and clearing up, with the stock client", { skip }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "docker" });
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);

  async function importAs(name: string, mark: string, ...changes: string[]): Promise<string> {
    const input = await payloadRootfs([{ type: "file", name: "mark", content: mark }]);
    const options = changes.flatMap((change) => ["-c", change]);
    const result = await daemon.client(["import", ...options, "-", ...(name ? [name] : [])], {
      input,
    });
    assert.equal(result.code, 0, result.stderr);
    return result.stdout.trim();
  }

  test("several images and tags go through one archive, which is the same each time", async () => {
    const one = await importAs("multi/one:1", "one");
    const two = await importAs("multi/two:1", "two");
    await ok("tag", "multi/one:1", "multi/one:2");
    const [first, second] = ["first.tar", "second.tar"].map((name) => join(daemon.folder, name));
    await ok("save", "-o", first!, "multi/one", "multi/two:1");
    await ok("save", "-o", second!, "multi/one", "multi/two:1");
    assert.ok((await readFile(first!)).equals(await readFile(second!)));
    await ok("rmi", "multi/one:1", "multi/one:2", "multi/two:1");
    const loaded = await ok("load", "-i", first!);
    assert.deepEqual(loaded.split("\n").sort(), [
      "Loaded image: multi/one:1",
      "Loaded image: multi/one:2",
      "Loaded image: multi/two:1",
    ]);
    const ids = await ok("images", "-q", "--no-trunc", "--filter", "reference=multi/*:1");
    assert.deepEqual(ids.split("\n").sort(), [one, two].sort());
    const other = await daemon.client(["load", "-i", first!, "--platform", "linux/s390x"]);
    assert.equal(other.code, 1);
    assert.match(other.stderr, /no image for linux\/s390x/);
    await ok("rmi", "multi/one:1", "multi/one:2", "multi/two:1");
  });

  test("save|load of one daemon is a stream", async () => {
    await ok("tag", IMAGE, "piped:1");
    const id = await ok("image", "inspect", "-f", "{{.Id}}", "piped:1");
    const env = { ...process.env, ...daemon.env };
    const output = execFileSync("sh", ["-c", "docker save piped:1 | docker load -q"], { env });
    assert.equal(output.toString().trim(), "Loaded image: piped:1");
    assert.equal(await ok("image", "inspect", "-f", "{{.Id}}", "piped:1"), id);
    await ok("rmi", "piped:1");
  });

  test("prune takes dangling images only, by age and label, and says how much came free", async () => {
    const plain = await importAs("", "dangling");
    const kept = await importAs("", "kept", "LABEL keep=yes");
    const until = await ok("image", "prune", "-f", "--filter", "until=1h");
    assert.match(until, /^Total reclaimed space: 0B$/);
    const pruned = await ok("image", "prune", "-f", "--filter", "label!=keep");
    assert.match(pruned, new RegExp(`deleted: ${plain}`));
    assert.doesNotMatch(pruned, new RegExp(kept));
    assert.match(pruned, /Total reclaimed space: \d+(\.\d+)?[kM]?B$/);
    const labelled = await ok("image", "prune", "-f", "--filter", "label=keep=yes");
    assert.match(labelled, new RegExp(`deleted: ${kept}`));
    assert.match(await ok("images", "--format", "{{.Repository}}"), /payload/);
  });

  test("prune -a keeps what a container uses", async () => {
    await importAs("used:1", "used");
    await importAs("unused:1", "unused");
    const id = await ok("create", "used:1", "/bin/true");
    const pruned = await ok("image", "prune", "-af");
    assert.match(pruned, /untagged: unused:1/);
    assert.doesNotMatch(pruned, /untagged: used:1/);
    await ok("rm", id);
    await ok("rmi", "used:1");
    await daemon.importPayload();
  });

  test("df counts a layer once, however many images have it", async () => {
    const df = async () => {
      const text = await ok("system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Size}}");
      return text.split("\n")[0]!.split("|");
    };
    const [, before, size] = await df();
    await ok("tag", IMAGE, "again:1");
    const container = await ok("create", IMAGE);
    const committed = await ok("commit", container, "committed:1");
    const [type, count, after] = await df();
    assert.equal(type, "Images");
    assert.equal(Number(count), Number(before) + 1);
    assert.equal(after, size);
    assert.match(await ok("system", "df", "-v"), /REPOSITORY +TAG +IMAGE ID/);
    const steps = await ok("history", "-q", "--no-trunc", "committed:1");
    assert.deepEqual(steps.split("\n"), [committed, "<missing>"]);
    await ok("rm", container);
    await ok("rmi", "committed:1", "again:1");
  });
});
