// DOCKER_HOST=ssh://…: our client and the stock one reach a daemon through ssh, whose other end
// runs our dial-stdio. With a real sshd where there is one (started for each connection by
// ProxyCommand, so that no port is needed), and with a stand-in for ssh everywhere.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { dockerPath, IMAGE, root, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { run } from "./process.ts";

const SSHD = "/usr/sbin/sshd";
const SSH = "/usr/bin/ssh";
/** Where sshd drops its privileges; Debian makes it when the service starts. */
const PRIVILEGE_FOLDER = "/run/sshd";
const GANTRY = join(root, "bin/gantry");

describe("a daemon behind ssh", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
  });
  after(() => daemon.stop());

  const folder = (name: string) => {
    const path = join(daemon.folder, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const script = (path: string, text: string) => {
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
  };
  /** The programs of "the other machine". */
  const remoteBin = (name: string, ...programs: string[]) => {
    const bin = folder(name);
    for (const program of programs) script(join(bin, program), `exec ${GANTRY} "$@"`);
    return `${bin}:/usr/bin:/bin`;
  };
  const environment = (bin: string) => ({
    ...daemon.env,
    DOCKER_HOST: `ssh://root@elsewhere${daemon.socket}`,
    PATH: `${bin}:${process.env["PATH"]}`,
    XDG_RUNTIME_DIR: daemon.folder,
  });

  /** An ssh that runs the command here, and writes down how it was called. */
  const standIn = (name: string, path: string) => {
    const bin = folder(`${name}-ssh`);
    const log = join(bin, "log");
    script(
      join(bin, "ssh"),
      `echo "$*" >> ${log}\n[ "$1" = -G ] && exit 1\n` +
        `while [ "$1" != -- ]; do shift; done; shift 2\n` +
        `unset DOCKER_HOST; export PATH=${path}; exec /bin/sh -c "$*"`,
    );
    return { bin, calls: () => readFileSync(log, "utf8").trimEnd().split("\n") };
  };

  async function drive(client: string, env: Record<string, string>): Promise<void> {
    const ok = async (args: string[], input?: Buffer) => {
      const { code, stdout, stderr } = await run(client, args, {
        env,
        ...(input ? { input } : {}),
      });
      assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
      return stdout;
    };
    const name = `far-${client === GANTRY ? "ours" : "stock"}`;
    await ok(["run", "-d", "--name", name, "--network", "none", IMAGE, "sleep"]);
    try {
      assert.match(await ok(["ps", "--format", "{{.Names}}"]), new RegExp(`^${name}$`, "m"));
      const many = Buffer.alloc(3_000_000, "0123456789abcde\n");
      const echoed = await ok(["exec", "-i", name, "/bin/cat"], many);
      assert.ok(echoed === many.toString(), `${echoed.length} of ${many.length} bytes came back`);
      const { code } = await run(client, ["exec", name, "/bin/exit", "7"], { env });
      assert.equal(code, 7);
    } finally {
      await ok(["rm", "-f", name]);
    }
  }

  test("our client speaks through it, hijacked streams too", async () => {
    const { bin, calls } = standIn("ours", remoteBin("remote", "docker"));
    await drive(GANTRY, environment(bin));
    const command = `-T -l root -- elsewhere docker --host unix://${daemon.socket}`;
    assert.ok(calls().some((call) => call.includes(command)));
  });

  test("the stock client does", { skip: dockerPath ? false : "no docker" }, async () => {
    const { bin } = standIn("stock", remoteBin("remote", "docker"));
    await drive(dockerPath!, environment(bin));
  });

  test("where the other machine has no docker, gantry is called", async () => {
    const { bin, calls } = standIn("only", remoteBin("remote-only", "gantry").split(":")[0]!);
    const { code, stderr } = await run(GANTRY, ["ps", "-q"], { env: environment(bin) });
    assert.equal(code, 0, stderr);
    assert.match(calls().at(-1)!, / elsewhere gantry --host /);
  });

  test("an ssh that fails is told with its own words", async () => {
    const bin = folder("failing");
    script(join(bin, "ssh"), "echo 'no route to elsewhere' >&2; exit 255");
    const { code, stderr } = await run(GANTRY, ["ps"], { env: environment(bin) });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /has exited with exit status 255, make sure .*stderr=no route to elsewhere/,
    );
  });

  test("a context names it", async () => {
    const { bin } = standIn("context", remoteBin("remote", "docker"));
    const { DOCKER_HOST, ...env } = environment(bin);
    const create = ["context", "create", "far", "--docker", `host=${DOCKER_HOST}`];
    assert.equal((await run(GANTRY, create, { env: { ...env, DOCKER_HOST: "" } })).code, 0);
    const { code, stderr } = await run(GANTRY, ["--context", "far", "ps"], { env });
    assert.equal(code, 0, stderr);
  });

  const noServer = existsSync(SSHD) && existsSync(SSH) ? false : "openssh-server is not installed";
  describe("a real sshd", { skip: noServer }, () => {
    let bin = "";
    let made = false;
    before(() => {
      if (!existsSync(PRIVILEGE_FOLDER)) {
        mkdirSync(PRIVILEGE_FOLDER, { mode: 0o755 });
        made = true;
      }
      bin = folder("real");
      const key = (name: string) => {
        const path = join(bin, name);
        execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
        return path;
      };
      const [host, user] = [key("host-key"), key("user-key")];
      const server = join(bin, "sshd.conf");
      const lines = [
        ...[`HostKey ${host}`, `AuthorizedKeysFile ${user}.pub`, "StrictModes no", "UsePAM no"],
        ...["PermitRootLogin yes", "PasswordAuthentication no", "PidFile none"],
        `SetEnv PATH=${remoteBin("remote", "docker")}`,
      ];
      writeFileSync(server, `${lines.join("\n")}\n`);
      const options = [
        ...[`-o 'ProxyCommand=${SSHD} -i -f ${server}'`, `-i ${user}`, "-o BatchMode=yes"],
        ...["-o StrictHostKeyChecking=no", "-o UserKnownHostsFile=/dev/null", "-o LogLevel=ERROR"],
      ];
      script(join(bin, "ssh"), `exec ${SSH} -F /dev/null ${options.join(" ")} "$@"`);
    });
    after(async () => {
      // The connection that is kept for the next command.
      const control = join(daemon.folder, "gantry-ssh-%C");
      const stop = ["-o", `ControlPath=${control}`, "-O", "exit", "-l", "root", "elsewhere"];
      await run(join(bin, "ssh"), stop);
      if (made) rmdirSync(PRIVILEGE_FOLDER);
    });

    test("our client speaks through it", () => drive(GANTRY, environment(bin)));
    test("the stock client does", { skip: dockerPath ? false : "no docker" }, () =>
      drive(dockerPath!, environment(bin)),
    );
    test("the connection is kept for the next command", async () => {
      const env = environment(bin);
      assert.equal((await run(GANTRY, ["ps"], { env })).code, 0);
      const check = ["-o", `ControlPath=${join(daemon.folder, "gantry-ssh-%C")}`, "-O", "check"];
      const { code, stderr } = await run(join(bin, "ssh"), [...check, "-l", "root", "elsewhere"]);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /Master running/);
    });
  });
});
