// Errors as people meet them, through the stock docker client and ours: docker's words first, then
// cause and remedy on lines of their own, and the exit codes that docker's scripts count on.

import assert from "node:assert/strict";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { dockerPath, IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const noDocker = dockerPath === undefined && "needs the docker client";

for (const client of ["docker", "gantry"] as const) {
  const skip = whyNoDaemon() || (client === "docker" && noDocker);
  describe(`errors through the ${client} client`, { skip }, () => {
    let daemon: TestDaemon;
    let folder: string;
    before(async () => {
      daemon = await startDaemon({ client });
      folder = join(daemon.folder, "programs");
      await makePrograms(folder);
    });
    after(() => daemon.stop());
    const run = (...args: string[]) =>
      daemon.client(["run", "--rm", "--network", "none", "-v", `${folder}:/p`, IMAGE, ...args]);

    const commands: [command: string, code: number, docker: RegExp, cause: RegExp][] = [
      ["/p/script", 255, /no such file or directory/, /interpreter \/bin\/nosuch .* is not$/m],
      ["/p/windows", 255, /no such file or directory/, /as lines of Windows do/],
      ["/p/other", 255, /exec format error/, /is built for s390x, and this host is /],
      ["/p/text", 255, /exec format error/, /does not name an interpreter/],
      ["/p/empty", 255, /exec format error/, /is an empty file/],
      ["/p/plain", 126, /permission denied/, /has mode 0644: nobody may execute it/],
      ["/p/link", 127, /no such file or directory/, /is a link to \/nowhere/],
      ["/p/scrpt", 127, /no such file or directory/, /has no file \/p\/scrpt/],
    ];
    for (const [command, code, docker, cause] of commands) {
      test(`${command} cannot be executed: docker's words, then why`, async () => {
        const { code: exitCode, stderr } = await run(command);
        assert.equal(exitCode, code, stderr);
        assert.match(stderr, docker);
        assert.match(stderr, /^cause: /m);
        assert.match(stderr, cause);
        assert.match(stderr, /^remedy: /m);
      });
    }

    test("what the kernel does not execute has started, said so and ended", async () => {
      const volume = ["--network", "none", "-v", `${folder}:/p`];
      await daemon.ok("run", "-d", "--name", "unfit", ...volume, IMAGE, "/p/other");
      assert.equal(await daemon.ok("wait", "unfit"), "255");
      const logs = await daemon.client(["logs", "unfit"]);
      assert.match(logs.stderr, /^exec \/p\/other: exec format error\ncause: /);
      const state = ["inspect", "-f", "{{.State.Status}} {{.State.Error}}|", "unfit"];
      assert.equal(await daemon.ok(...state), "exited |");
      await daemon.ok("rm", "unfit");
      await daemon.ok("run", "-d", "--name", "fit", ...volume, IMAGE, "sleep");
      for (const [file, words] of [
        ["text", /^exec \/p\/text: exec format error\ncause: /],
        ["script", /^exec \/p\/script: no such file or directory\ncause: /],
      ] as const) {
        const { code, stderr } = await daemon.client(["exec", "fit", `/p/${file}`]);
        assert.equal(code, 255, stderr);
        assert.match(stderr, words);
      }
      await daemon.ok("rm", "-f", "fit");
    });

    test("a command that is nearly one of the image's is suggested", async () => {
      const { code, stderr } = await daemon.client(["run", "--rm", IMAGE, "ech"]);
      assert.equal(code, 127, stderr);
      assert.match(stderr, /executable file not found in \$PATH/);
      assert.match(stderr, /^cause: no folder of PATH /m);
      assert.match(stderr, /^remedy: /m);
    });

    test("a name in use says by what, and how to get it back", async () => {
      await daemon.ok("create", "--name", "taken", IMAGE, "true");
      const { code, stderr } = await daemon.client(["create", "--name", "taken", IMAGE, "true"]);
      assert.notEqual(code, 0);
      assert.match(stderr, /Conflict\. The container name "\/taken" is already in use/);
      assert.match(stderr, /^cause: it is created, of image payload/m);
      assert.match(stderr, /^remedy: gantry rm taken, or gantry rename taken/m);
      await daemon.ok("rm", "taken");
    });

    test("a mount source that is missing, and one of the wrong kind, are told apart", async () => {
      const mount = `type=bind,source=${folder}/nosuch,target=/x`;
      const missing = await daemon.client(["run", "--rm", "--mount", mount, IMAGE, "true"]);
      assert.equal(missing.code, 125);
      assert.match(missing.stderr, /bind source path does not exist/);
      assert.match(missing.stderr, /^remedy: mkdir -p /m);
      const args = ["run", "--rm", "--network", "none", "-v", `${folder}/text:/etc`];
      const wrong = await daemon.client([...args, IMAGE, "true"]);
      assert.notEqual(wrong.code, 0);
      assert.match(wrong.stderr, /Are you trying to mount a directory onto a file/);
      assert.match(wrong.stderr, /^cause: .* is a file, and the image has a folder at \/etc$/m);
    });

    test("a mistyped image is told what is here", async () => {
      const { stderr } = await daemon.client(["run", "--rm", "--pull", "never", "paylod", "true"]);
      assert.match(stderr, /No such image: paylod:latest/);
      assert.match(stderr, /^cause: that name is not here; what is here: payload:latest$/m);
    });
  });
}

describe("explain over the API", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());

  test("explain run takes what run takes, and starts nothing", async () => {
    const args = ["-m", "64m", "--cap-drop", "ALL", "--network", "none", IMAGE, "echo", "hi"];
    const text = await daemon.ok("explain", "run", ...args);
    assert.match(text, /^A run of payload:latest would do this; nothing has been done\.$/m);
    assert.match(text, /67108864 \(64MiB\)/);
    assert.match(text, /bounding +0 kept: none/);
    assert.match(text, /command +echo hi/);
    assert.equal(await daemon.ok("ps", "-aq"), "");
    const json = JSON.parse(
      await daemon.ok("explain", "run", "--format", "json", "--verbose", ...args),
    );
    assert.equal(json.about.state, "planned");
    assert.ok(json.operations.some(({ name }: { name: string }) => name === "execve"));
  });

  test("a running container is as it was asked for, and an ended one says why", async () => {
    const args = ["run", "-d", "--name", "it", "--network", "none", IMAGE, "sleep"];
    await daemon.ok(...args);
    const running = await daemon.client(["explain", "it"]);
    assert.equal(running.code, 0, running.stdout);
    assert.match(running.stdout, /The kernel has what was asked for\.$/m);
    await daemon.ok("kill", "it");
    const ended = await daemon.ok("explain", "it");
    assert.match(ended, /because +it was killed by gantry at /);
    await daemon.ok("rm", "it");
  });

  test("what explain cannot do is said with the exit code of a wrong call", async () => {
    const unknown = await daemon.client(["explain", "nosuch"]);
    assert.deepEqual([unknown.code, /No such container/.test(unknown.stderr)], [1, true]);
    assert.equal((await daemon.client(["explain", "run", "--nosuch", IMAGE])).code, 125);
    assert.equal((await daemon.client(["explain", "a", "b"])).code, 1);
  });
});

async function makePrograms(folder: string): Promise<void> {
  await mkdir(folder);
  const s390x = 22;
  const elf = Buffer.alloc(64);
  elf.writeUInt32BE(0x7f454c46, 0);
  elf.set([2, 2, 1], 4); // 64 bits, big-endian
  elf.writeUInt16BE(2, 16);
  elf.writeUInt16BE(s390x, 18);
  const files: Record<string, string | Buffer> = {
    script: "#!/bin/nosuch\n",
    windows: "#!/bin/sh\r\n",
    text: "echo hi\n",
    empty: "",
    plain: "#!/bin/sh\n",
    other: elf,
  };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), content);
    await chmod(join(folder, name), name === "plain" ? 0o644 : 0o755);
  }
  await symlink("/nowhere", join(folder, "link"));
}
