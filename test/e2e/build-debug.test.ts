// `gantry build --debug`: a step fails, and whoever sits at the terminal has a shell in what it
// left: its files, its environment and folder, with a terminal of the right size. Nothing of it is
// there afterwards.

import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import type { Session } from "./process.ts";

const FAILS = [
  "FROM payload",
  'RUN ["/bin/link", "/bin/payload", "/bin/ash"]',
  "ENV WHO=someone",
  "WORKDIR /here",
  'RUN --mount=type=tmpfs,target=/t ["/bin/ash", "write /left half", "exit 3"]',
].join("\n");

describe("gantry build --debug", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let context: string;
  let open: Session | undefined;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
    context = join(daemon.folder, "context");
    await mkdir(context);
    await writeFile(join(context, "Dockerfile"), FAILS);
  });
  afterEach(() => void open?.child.kill("SIGKILL"));
  after(() => daemon.stop());

  const args = () => ["build", "--debug", "--network", "none", context];
  function terminal(): Session {
    open = daemon.terminal(args(), { rows: 31, columns: 101 });
    return open;
  }
  async function nothingLeft(): Promise<void> {
    const folders = ["data/builds", "data/containers", "exec/m", "exec/b"];
    for (;;) {
      const lists = folders.map((name) => readdir(join(daemon.folder, name)).catch(() => []));
      if ((await Promise.all(lists)).flat().length === 0) return;
      await delay(20);
    }
  }

  test("a failed step's files, environment, folder and mounts are there, on a terminal", async () => {
    const session = terminal();
    await session.until(/Opening a shell in the state that ".*\/bin\/ash.*" left/);
    await session.until("ash> ");
    for (const [typed, told] of [
      ["cat /left", /half/],
      ["env", /WHO=someone/],
      ["pwd", /\/here/],
      ["cat /proc/mounts", / \/t tmpfs /],
      ["tty", /tty=111 rows=31 columns=101/],
    ] as const) {
      const at = session.text.length;
      session.write(`${typed}\r`);
      await session.until(new RegExp(`^[\\s\\S]{${at}}[\\s\\S]*${told.source}[\\s\\S]*ash> `));
    }
    session.write("exit 9\r");
    // The build failed, whatever the shell came to.
    assert.equal(await session.exitCode(), 1);
    assert.match(session.text, /exit code: 3/);
    await nothingLeft();
  });

  test("a shell whose person goes away ends, and what it held goes", async () => {
    const session = terminal();
    await session.until("ash> ");
    session.child.kill("SIGKILL");
    await session.exitCode();
    await nothingLeft();
  });

  test("a build that works opens no shell, one that failed before a step says so", async () => {
    const file = join(context, "Dockerfile");
    await writeFile(file, 'FROM payload\nRUN ["/bin/true"]\n');
    const fine = terminal();
    assert.equal(await fine.exitCode(), 0, fine.text);
    assert.doesNotMatch(fine.text, /--debug|shell/);
    await writeFile(file, "FROM payload\nCOPY missing /\n");
    const early = terminal();
    assert.equal(await early.exitCode(), 1);
    assert.match(early.text, /--debug: no step is left to look at/);
    await nothingLeft();
  });

  test("without a terminal the failure is all there is", async () => {
    await writeFile(join(context, "Dockerfile"), FAILS);
    const { code, stderr } = await daemon.client(args());
    assert.equal(code, 1);
    assert.match(stderr, /--debug opens a shell only on a terminal/);
    await nothingLeft();
  });
});
