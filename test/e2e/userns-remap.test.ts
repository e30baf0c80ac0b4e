// A daemon with userns-remap, as dockerd's users know one: whose ids are given, what is refused and
// in which words, --userns=host, builds; what containers may do that are mapped, and that the
// daemon does not start where it could not keep its word.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { IMAGE, root, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { run as runProgram } from "./process.ts";

const folders: string[] = [];
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** Files of a daemon's "host" that say who has which ids. */
class IdFiles {
  folder = "";
  readonly #texts: { subuid: string; subgid: string };
  constructor(subuid: string, subgid = subuid) {
    this.#texts = { subuid, subgid };
  }
  /** For `prepare`. */
  readonly give = async (daemon: TestDaemon): Promise<void> => {
    this.folder = await mkdtemp(join(tmpdir(), "gantry-ids-"));
    folders.push(this.folder);
    for (const [name, text] of Object.entries(this.#texts)) {
      await writeFile(join(this.folder, name), text);
      const enter = ["-t", String(daemon.holderPid), "-m", "--"];
      const mount = ["mount", "--bind", join(this.folder, name), `/etc/${name}`];
      execFileSync("nsenter", [...enter, ...mount]);
    }
  };
  async write(text: string): Promise<void> {
    for (const name of ["subuid", "subgid"]) await writeFile(join(this.folder, name), text);
  }
  read = (name: string): Promise<string> => readFile(join(this.folder, name), "utf8");
}

const skip = whyNoDaemon();

describe("a daemon with userns-remap=default", { skip }, () => {
  let daemon: TestDaemon;
  const ids = new IdFiles("somebody:100000:65536\n");
  before(async () => {
    daemon = await startDaemon({
      args: ["--userns-remap", "default"],
      prepare: ids.give,
    });
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const run = (...args: string[]) => ok("run", "--rm", "--network", "none", ...args);
  const refuse = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await daemon.client(["run", "--rm", ...args]);
    assert.notEqual(code, 0, args.join(" "));
    return stderr;
  };
  const uidMap = async (...args: string[]) =>
    (await run(...args, IMAGE, "cat", "/proc/self/uid_map")).trim().split(/\s+/).map(Number);

  test("dockremap gets ids that are nobody's, once, and info tells of it", async () => {
    for (const name of ["subuid", "subgid"]) {
      const text = await ids.read(name);
      assert.equal(text, "somebody:100000:65536\ndockremap:165536:65536\n", name);
    }
    const { SecurityOptions } = (await daemon.dockerode.info()) as { SecurityOptions: string[] };
    assert.ok(SecurityOptions.includes("name=userns"), String(SecurityOptions));
    assert.deepEqual(await uidMap(), [0, 165_536, 65_536]);
    await daemon.restart();
    const again = await ids.read("subuid");
    assert.equal(again.match(/dockremap/g)?.length, 1);
    assert.deepEqual(await uidMap(), [0, 165_536, 65_536]);
  });

  test("--userns=host switches it off, --userns=private means the daemon's range", async () => {
    assert.deepEqual(await uidMap("--userns", "host"), [0, 0, 4_294_967_295]);
    const option = ["--security-opt", "userns=private"];
    assert.deepEqual(await uidMap(...option), [0, 165_536, 65_536]);
    const [, auto = 0] = await uidMap("--security-opt", "userns=auto");
    assert.ok(auto > 231_072, String(auto));
  });

  test("what shares the host needs --userns=host, in dockerd's words", async () => {
    const words: [string[], string][] = [
      [
        ["--privileged"],
        "privileged mode is incompatible with user namespaces.  You must run the container in the " +
          "host namespace when running privileged mode",
      ],
      [
        ["--network", "host"],
        "cannot share the host's network namespace when user namespaces are enabled",
      ],
      [["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled"],
    ];
    for (const [flags, message] of words) {
      assert.ok((await refuse(...flags, IMAGE)).includes(message), message);
      assert.equal(
        await ok("run", "--rm", "--userns", "host", ...flags, IMAGE, "echo", "is"),
        "is",
      );
    }
  });

  test("containers of one range share it; who is in none is not joined", async () => {
    const one = await ok("run", "-d", "--network", "none", IMAGE, "sleep");
    const host = ["run", "-d", "--userns", "host", "--network", "none", IMAGE, "sleep"];
    const other = await ok(...host);
    const seen = await ok("run", "--rm", "--network", `container:${one}`, IMAGE, "ns");
    const own = (await ok("exec", one, "ns")).split("\n").filter((l) => /^(net|user):/.test(l));
    for (const line of own) assert.ok(seen.includes(line), line);
    const stderr = await refuse("--network", `container:${other}`, IMAGE);
    assert.match(stderr, /hint: use --userns=host/);
    await ok("rm", "-f", one, other);
  });

  test("a build's steps are mapped, and its layers have the ids of the container", async () => {
    const context = join(daemon.folder, "context");
    await mkdir(context, { recursive: true });
    await writeFile(join(context, "file"), "file\n");
    const lines = [
      `FROM ${IMAGE}`,
      "COPY file /file",
      'RUN ["seq", "cat /proc/self/uid_map", "write /made x", "chown 7 8 /made", "chmod 4711 /made"]',
      'RUN --mount=type=cache,target=/c ["seq", "write /c/kept x", "stat /c /c/kept /file"]',
      'RUN --mount=type=secret,id=s ["seq", "cat /run/secrets/s", "stat /run/secrets/s"]',
      "USER app",
      'RUN ["write", "/tmp/mine", "x"]',
    ];
    await writeFile(join(context, "Dockerfile"), lines.join("\n"));
    await writeFile(join(daemon.folder, "secret"), "hidden\n");
    const secret = `id=s,src=${join(daemon.folder, "secret")}`;
    const flags = ["--progress", "plain", "--secret", secret, "-t", "built", context];
    const gantry = join(root, "bin/gantry");
    const { code, stderr, stdout } = await runProgram(gantry, ["build", ...flags], {
      env: daemon.env,
    });
    assert.equal(code, 0, stderr);
    const text = stdout + stderr;
    assert.match(text, /0\s+165536\s+65536/);
    assert.match(text, /\/c\/kept .*uid=0 gid=0/);
    assert.match(text, /hidden[\s\S]*\/run\/secrets\/s mode=100400 uid=0 gid=0/);
    const look = ["built", "stat", "/made", "/file", "/tmp/mine"];
    for (const userns of [[], ["--userns", "host"]]) {
      const seen = await run(...userns, ...look);
      assert.match(seen, /\/made mode=104711 uid=7 gid=8/);
      assert.match(seen, /\/file .*uid=0 gid=0/);
      assert.match(seen, /\/tmp\/mine .*uid=1000/);
    }
    const host = await runProgram(gantry, ["build", "--network", "host", "--no-cache", context], {
      env: daemon.env,
    });
    assert.match(host.stderr + host.stdout, /cannot share the host's network namespace when user/);
    await ok("rmi", "built");
  });

  test("ports are published, names are resolved and ping needs no privilege", async () => {
    const id = await ok("run", "-d", "-p", "127.0.0.1::7000", IMAGE, "listen", "tcp", "7000");
    const port = (await ok("port", id, "7000")).split(":").at(-1)!;
    const { stdout, stderr } = await daemon.onHost("connect", "tcp", "127.0.0.1", port, "hello");
    assert.match(stdout, /hello/, stderr);
    assert.match(await ok("exec", id, "cat", "/proc/sys/net/ipv4/ping_group_range"), /^0\s+65535$/);
    await ok("rm", "-f", id);
  });

  test("a container keeps what it was made with when the daemon's range changes", async () => {
    const id = await ok("create", "--network", "none", IMAGE, "cat", "/proc/self/uid_map");
    await ids.write("dockremap:300000:70000\n");
    await daemon.restart();
    assert.deepEqual(await uidMap(), [0, 300_000, 70_000]);
    assert.match(await ok("start", "-a", id), /^0\s+165536\s+65536$/);
    await ok("rm", id);
  });

  test("a checkpoint is refused", async () => {
    const id = await ok("run", "-d", "--network", "none", IMAGE, "sleep");
    const gantry = join(root, "bin/gantry");
    const args = ["checkpoint", "create", id, "one"];
    const { code, stderr } = await runProgram(gantry, args, { env: daemon.env });
    assert.notEqual(code, 0);
    assert.match(stderr, /a user namespace|criu/i);
    await ok("rm", "-f", id);
  });
});

describe("whose ids userns-remap gives", { skip }, () => {
  test("several ranges of a user by number and name follow one another", async () => {
    const daemon = await startDaemon({
      args: ["--userns-remap", "1:1"],
      prepare: new IdFiles("1:500000:1000\nx:1:1\ndaemon:900000:65536\n", "daemon:700000:66536\n")
        .give,
    });
    try {
      const text = await daemon.ok(
        "run",
        "--rm",
        IMAGE,
        "cat",
        "/proc/self/uid_map",
        "/proc/self/gid_map",
      );
      const numbers = text.trim().split(/\s+/).map(Number);
      assert.deepEqual(numbers, [0, 500_000, 1000, 1000, 900_000, 65_536, 0, 700_000, 66_536]);
      const steps = ["write /v/f x", "chown 1500 7 /v/f", "stat /v/f"];
      const user = ["run", "--rm", "-v", "vol:/v", IMAGE, "seq", ...steps];
      assert.match(await daemon.ok(...user), /uid=1500 gid=7/);
      const file = join(daemon.folder, "data/volumes/vol/_data/f");
      assert.deepEqual((await stat(file)).uid, 1500);
    } finally {
      await daemon.stop();
    }
  });

  test("what makes no sense keeps the daemon from starting, in dockerd's words", async () => {
    const wrong: [string[], RegExp][] = [
      [["--userns-remap", "nosuch"], /Error during uid lookup for \\?"nosuch\\?": getent unable/],
      [["--userns-remap", "daemon"], /Can't create ID mappings: no subuid ranges found for user/],
      [["--userns-pool", "nosuch"], /invalid userns-pool .*have no ranges of that name/],
      [["--default-userns-mode", "container:x"], /invalid default-userns-mode/],
    ];
    for (const [args, message] of wrong) {
      const { give: prepare } = new IdFiles("");
      await assert.rejects(startDaemon({ bare: true, args, prepare }), message, args.join(" "));
    }
  });

  test("root is not remapped with itself, and a default mode gives each a range", async () => {
    const daemon = await startDaemon({
      args: ["--userns-remap", "root", "--default-userns-mode", "auto"],
      prepare: new IdFiles("gantry:800000:200000\nother:865536:10\n").give,
    });
    try {
      assert.match(await daemon.log(), /root cannot be remapped with itself/);
      const map = ["cat", "/proc/self/uid_map"];
      // What the file gives to another is cut out of the pool.
      assert.match(await daemon.ok("run", "--rm", IMAGE, ...map), /^0\s+800000\s+65536$/);
      const kept = await daemon.ok("create", IMAGE);
      assert.match(await daemon.ok("run", "--rm", IMAGE, ...map), /^0\s+865546\s+65536$/);
      await daemon.ok("rm", kept);
    } finally {
      await daemon.stop();
    }
  });
});

test("nobody but root enters the data root: a set-uid program in a volume is out of reach", {
  skip,
}, async () => {
  const daemon = await startDaemon();
  try {
    const make = ["write /v/suid x", "chmod 4755 /v/suid"];
    await daemon.ok("run", "--rm", "-v", "vol:/v", IMAGE, "seq", ...make);
    await chmod(daemon.folder, 0o755);
    const path = join(daemon.folder, "data/volumes/vol/_data/suid");
    assert.equal((await stat(path)).mode & 0o7777, 0o4755);
    const folder = join(daemon.folder, "out");
    await mkdir(folder);
    await chown(folder, 1000, 1000);
    const nobody = ["--reuid", "1000", "--regid", "1000", "--clear-groups", "--", "cat", path];
    const { code, stderr } = await runProgram("setpriv", nobody);
    assert.notEqual(code, 0);
    assert.match(stderr, /Permission denied/);
  } finally {
    await daemon.stop();
  }
});
