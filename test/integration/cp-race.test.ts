// A hostile container swaps folders for links thousands of times a second while files are copied
// out of it and into it (CVE-2018-15664 and its kin). Whatever a copy brings or changes is the
// container's own: nothing of the host is ever read or written.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { pack } from "../payload/payload.ts";
import { EngineFixture, IMAGE, startContainer } from "../support/engine-fixture.ts";

const ROUNDS = 300;
const AT_A_TIME = 4;

let fixture: EngineFixture;
/** Of the host, at a path that does not exist in any container: what must not be touched. */
let outside: string;

before(async () => {
  fixture = await EngineFixture.make();
  outside = await mkdtemp(join(tmpdir(), "gantry-outside-"));
  await mkdir(join(outside, "bound/sub"), { recursive: true });
  await writeFile(join(outside, "secret"), "OF THE HOST");
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
  await rm(outside, { recursive: true, force: true });
});

/** Calls `once` many times, some at a time; errors are what a race may bring. */
async function many(once: (round: number) => Promise<void>): Promise<{ good: number }> {
  let round = 0;
  let good = 0;
  const lane = async () => {
    while (round < ROUNDS) {
      const ok = await once(round++).then(
        () => true,
        (error: unknown) => {
          if (error instanceof assert.AssertionError) throw error;
          return false;
        },
      );
      if (ok) good++;
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
  return { good };
}

async function untouched(): Promise<void> {
  assert.deepEqual((await readdir(outside)).sort(), ["bound", "secret"]);
  assert.equal(await readFile(join(outside, "secret"), "utf8"), "OF THE HOST");
}

/** A container that flips `place/real`, a folder with a file, and `place/link`, a link to `to`. */
async function flipping(place: string, to: string, hostConfig = {}): Promise<string> {
  const { containers } = fixture.engine;
  const { id } = await containers.create({
    config: { Image: IMAGE, Cmd: ["flip", `${place}/real`, `${place}/link`] },
    hostConfig: { NetworkMode: "none", ...hostConfig },
  });
  const tree = await pack([
    { type: "directory", name: "real" },
    { type: "file", name: "real/secret", content: "of the container" },
    { type: "symlink", name: "link", linkname: to },
  ]);
  await containers.archiveIn(id, place, Readable.from([tree]));
  await containers.start(id);
  return id;
}

async function copiesStayInside(id: string, place: string): Promise<void> {
  const { containers } = fixture.engine;
  const read = async (path: string) => {
    const { tar } = await containers.archiveOut(id, path);
    assert.ok(!(await buffer(tar)).includes("OF THE HOST"), `${path} led outside`);
  };
  const out = await many((n) =>
    read([`${place}/real/secret`, `${place}/real/.`, `${place}/.`][n % 3]!),
  );
  assert.ok(out.good > 0, "no copy out succeeded at all");
  const evil = await pack([
    { type: "file", name: "evil", content: "written" },
    { type: "file", name: "secret", content: "written" },
  ]);
  const nested = await pack([{ type: "file", name: "real/secret", content: "written" }]);
  const into = await many(async (n) => {
    if (n % 2 === 0) await containers.archiveIn(id, `${place}/real`, Readable.from([evil]));
    else await containers.archiveIn(id, place, Readable.from([nested]));
  });
  assert.ok(into.good > 0, "no copy in succeeded at all");
  await many(async () => {
    for (const path of await containers.glob(id, `${place}/*/sec*`)) {
      assert.ok(path.startsWith(`${place}/`));
    }
  });
}

test("a folder that becomes a link to the host's path leads nowhere", async () => {
  const id = await flipping("/tmp", outside);
  await copiesStayInside(id, "/tmp");
  await untouched();
  await fixture.engine.containers.remove(id, { force: true });
});

test("a link that climbs with .. ends at the container's root", async () => {
  const id = await flipping("/tmp", `${"../".repeat(12)}${outside.slice(1)}`);
  await copiesStayInside(id, "/tmp");
  await untouched();
  await fixture.engine.containers.remove(id, { force: true });
});

test("a bind mount is not left by .. while folders move in it, in a stopped container too", async () => {
  const Binds = [`${join(outside, "bound")}:/bound`];
  const id = await flipping("/bound", "../../secret", { Binds });
  await copiesStayInside(id, "/bound");
  const { id: idle } = await fixture.engine.containers.create({
    config: { Image: IMAGE, Cmd: ["true"] },
    hostConfig: { NetworkMode: "none", Binds },
  });
  await copiesStayInside(idle, "/bound");
  await untouched();
  for (const each of [id, idle]) await fixture.engine.containers.remove(each, { force: true });
});

test("what ends while it is copied from is not mistaken for another process", async () => {
  const { containers } = fixture.engine;
  for (let round = 0; round < 8; round++) {
    const id = await startContainer(fixture.engine, ["sleep", "0.05"]);
    const { good } = await many(async (n) => {
      if (n > 40) return;
      const { tar } = await containers.archiveOut(id, "/etc/passwd");
      assert.match((await buffer(tar)).toString(), /bin\/payload/);
    });
    assert.ok(good > 0);
    await containers.remove(id, { force: true });
  }
});
