// Volumes as wholes, by our own client: into an archive and out of it, and as copies.

import assert from "node:assert/strict";
import { chmod, chown, link, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("volumes as wholes", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
    await ok("volume", "create", "--label", "env=prod", "first");
    const folder = data("first");
    await mkdir(join(folder, "sub"));
    await writeFile(join(folder, "sub/file"), "content\n");
    await chown(join(folder, "sub/file"), 7, 8);
    await link(join(folder, "sub/file"), join(folder, "again"));
    await chown(folder, 999, 998);
    await chmod(folder, 0o2700);
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const data = (name: string) => join(daemon.folder, "data/volumes", name, "_data");
  const refuse = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await daemon.client(args);
    assert.notEqual(code, 0, args.join(" "));
    return stderr;
  };
  const look = async (name: string) => {
    const top = await stat(data(name));
    const file = await stat(join(data(name), "sub/file"));
    return {
      top: [top.uid, top.gid, top.mode & 0o7777],
      file: [
        file.uid,
        file.gid,
        file.nlink,
        (await stat(join(data(name), "again"))).ino === file.ino,
      ],
      text: await readFile(join(data(name), "sub/file"), "utf8"),
    };
  };
  const FIRST = { top: [999, 998, 0o2700], file: [7, 8, 2, true], text: "content\n" };

  test("export and import bring everything back, through a file or a pipe", async () => {
    const archive = join(daemon.folder, "first.tar");
    await ok("volume", "export", "-o", archive, "first");
    assert.equal(await ok("volume", "import", "second", archive), "second");
    assert.deepEqual(await look("second"), FIRST);
    const input = await readFile(archive);
    const { code, stderr } = await daemon.client(["volume", "import", "third", "-"], { input });
    assert.equal(code, 0, stderr);
    assert.deepEqual(await look("third"), FIRST);
    assert.match(await refuse("volume", "import", "third", archive), /third: volume is not empty/);
    assert.match(await refuse("volume", "export", "-o", archive, "nosuch"), /no such volume/);
    await ok("volume", "rm", "second", "third");
  });

  test("what is no archive makes no volume, and a hostile one reaches nothing outside", async () => {
    const bad = join(daemon.folder, "bad.tar");
    await writeFile(bad, Buffer.alloc(4096, "x"));
    await refuse("volume", "import", "broken", bad);
    assert.deepEqual((await ok("volume", "ls", "-q")).split("\n"), ["first"]);
    assert.match(await refuse("volume", "import", "../up", bad), /invalid characters|not found/);
  });

  test("a clone is a copy with the labels of the first; a mounted one is copied as it is", async () => {
    assert.equal(await ok("volume", "clone", "first", "copy"), "copy");
    assert.deepEqual(await look("copy"), FIRST);
    assert.equal(await ok("volume", "inspect", "-f", "{{json .Labels}}", "copy"), '{"env":"prod"}');
    assert.match(await refuse("volume", "clone", "first", "copy"), /volume copy already exists/);
    assert.match(await refuse("volume", "clone", "nosuch", "x1"), /nosuch: no such volume/);
    await ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "fast");
    const flags = ["--network", "none", "-v", "fast:/f"];
    const id = await ok("run", "-d", ...flags, IMAGE, "sleep");
    await ok("exec", id, "write", "/f/x", "live");
    await ok("volume", "clone", "fast", "kept");
    assert.equal(await readFile(join(data("kept"), "x"), "utf8"), "live\n");
    await ok("rm", "-f", id);
    await ok("volume", "rm", "copy", "fast", "kept");
  });
});
