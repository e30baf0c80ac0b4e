// Beside a real dockerd in one network namespace: it makes the FORWARD policy DROP, and our
// containers are reached and reach others all the same, by one rule in DOCKER-USER.

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { BRIEFLY, HOST, Lab, REMOTE, tcp } from "../support/network-lab.ts";

const run = promisify(execFile);
const DOCKERD = "/usr/sbin/dockerd";
const START_MS = 30_000;
const skip = existsSync(DOCKERD) ? false : "dockerd is not installed (test/bench/install-peers.sh)";

class Dockerd implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
  }

  static async start(netns: string): Promise<Dockerd> {
    const folder = await mkdtemp(join(tmpdir(), "gantry-beside-"));
    const socket = join(folder, "docker.sock");
    const args = [`--net=${netns}`, "--", "unshare", "-m", DOCKERD, "-H", `unix://${socket}`];
    args.push("--data-root", join(folder, "data"), "--exec-root", join(folder, "exec"));
    args.push("--pidfile", join(folder, "pid"), "--cgroup-parent", "gantry-beside");
    const child = spawn("/usr/bin/nsenter", args, { stdio: "ignore" });
    const dockerd = new Dockerd(child, folder);
    const end = Date.now() + START_MS;
    while (!(await answers(socket))) {
      if (child.exitCode !== null || Date.now() > end) {
        await dockerd[Symbol.asyncDispose]();
        throw new Error("dockerd does not start here");
      }
      await delay(50);
    }
    return dockerd;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pid = Number(await readFile(join(this.#folder, "pid"), "utf8").catch(() => "0"));
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    if (pid > 0) process.kill(pid, "SIGTERM");
    else this.#child.kill("SIGTERM");
    if (this.#child.exitCode === null) await gone;
    await rm(this.#folder, { recursive: true, force: true }).catch(() => {});
  }
}

/** Its socket is there before its network is. */
const answers = (socketPath: string): Promise<boolean> =>
  new Promise((resolve) => {
    const call = get({ socketPath, path: "/_ping" }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    call.on("error", () => resolve(false));
  });

test("beside dockerd containers are reached and reach others", { skip }, async (t) => {
  await using lab = await Lab.make();
  // Only where it has to switch forwarding on does dockerd make the policy DROP.
  await lab.run({ op: "write", path: "/proc/sys/net/ipv4/ip_forward", data: Buffer.from("0") });
  await using dockerd = await Dockerd.start(lab.host.netns).catch((error) => {
    t.skip(String(error));
    return undefined as never;
  });
  if (!dockerd) return;
  const iptables = async (...args: string[]) =>
    (await run("/usr/bin/nsenter", [`--net=${lab.host.netns}`, "--", "iptables", ...args])).stdout;
  assert.match(await iptables("-S", "FORWARD"), /-P FORWARD DROP/);
  const theirs = await iptables("-S");
  await lab.open();
  const box = await lab.container([tcp(80, { hostPort: 8080, hostPortEnd: 8080 })]);
  await box.agent.ask({ do: "listen", protocol: "tcp", port: 80 });
  await lab.remote.ask({ do: "listen", protocol: "tcp", port: 7000 });
  const ask = { do: "tcp" } as const;
  assert.equal(await lab.remote.ask({ ...ask, host: HOST, port: 8080 }), `${REMOTE}\nbye`);
  assert.equal(await box.agent.ask({ ...ask, host: REMOTE, port: 7000 }), `${HOST}\nbye`);
  const rule = /-A DOCKER-USER .*--comment "gantry gantry_gantry0" -j ACCEPT/;
  assert.match(await iptables("-S", "DOCKER-USER"), rule);
  await lab.routeFromRemote("172.16.0.0/12");
  assert.equal(
    await lab.remote.ask({ ...ask, ...BRIEFLY, host: box.address, port: 80 }),
    "timeout",
  );
  await box.end();
  await lab.network.stop();
  assert.equal(await iptables("-S"), theirs, "dockerd's rules are as they were");
});
