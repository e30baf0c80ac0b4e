// What gantry-runtime hands on and over: descriptors of socket activation, readiness for a service
// manager, pidfds, and the orphans of its containers.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { payloadProgram } from "../payload/payload.ts";
import { until, within } from "../support/deadline.ts";
import { OciFixture, resultOf } from "../support/oci-fixture.ts";
import { proves } from "../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

describe("what gantry-runtime hands on", { skip }, () => {
  let oci: OciFixture;
  before(async () => {
    oci = await OciFixture.make();
  });
  after(() => oci[Symbol.asyncDispose]());

  /** A payload verb on the host that listens; its lines after the first. */
  async function listener(...args: string[]) {
    const child = spawn(await payloadProgram(), args, { stdio: ["ignore", "pipe", "inherit"] });
    const lines: string[] = [];
    const reader = createInterface({ input: child.stdout });
    reader.on("line", (line) => lines.push(line));
    const ended = once(child, "close");
    await once(reader, "line");
    return {
      lines: async () => {
        await within(() => `the end of ${args.join(" ")}`, ended);
        return lines.slice(1);
      },
      stop: () => child.kill("SIGKILL"),
    };
  }

  test("descriptors of socket activation, to whom they are meant for", async () => {
    const path = oci.path("listened");
    await writeFile(path, "");
    const kept = openSync(path, "r");
    const { id, bundle } = await oci.bundle(["seq", "env", "ls /proc/self/fd"]);
    // A shell in between knows the pid that the runtime will have.
    const run = async (variables: string) => {
      const line = `${variables} exec "$@"`;
      const args = ["-c", line, "sh", oci.program, "--root", oci.root, "run", "-b", bundle, id];
      const child = spawn("sh", args, {
        stdio: ["ignore", "pipe", "pipe", kept],
        env: { PATH: process.env["PATH"] },
      });
      const { code, stdout, stderr } = await resultOf(child);
      assert.equal(code, 0, stderr);
      return { text: stdout, fds: stdout.split("\n").filter((one) => /^\d+$/.test(one)).length };
    };
    const none = await run("");
    const given = await run("LISTEN_FDNAMES=web LISTEN_FDS=1 LISTEN_PID=$$");
    assert.match(given.text, /LISTEN_FDS=1\nLISTEN_PID=1\nLISTEN_FDNAMES=web/);
    assert.equal(given.fds, none.fds + 1);
    for (const others of [
      "LISTEN_FDS=1 LISTEN_PID=1",
      "LISTEN_FDS=1",
      "LISTEN_FDS=-1 LISTEN_PID=$$",
      "LISTEN_FDS=x LISTEN_PID=$$",
      "LISTEN_FDS=0 LISTEN_PID=$$",
    ]) {
      const { text, fds } = await run(others);
      assert.doesNotMatch(text, /LISTEN_/, others);
      assert.equal(fds, none.fds, others);
    }
  });

  test(`readiness reaches the service manager, and nothing else does ${proves("runc-env", "NOTIFY_SOCKET, LISTEN_FDS, LISTEN_PID")}`, async () => {
    const path = oci.path("manager");
    const manager = await listener("manager", path);
    const { id, bundle } = await oci.bundle([
      ...["seq", "notify STATUS=unseen", "notify STATUS=a\nREADY=1\nMAINPID=1", "sleep"],
    ]);
    const env = { NOTIFY_SOCKET: path };
    try {
      const stdio = ["pipe", "pipe", "pipe"] as "pipe"[];
      const created = oci.spawn(["create", "-b", bundle, id], { env, stdio });
      for (const stream of [created.stdout, created.stderr]) stream!.resume();
      const [code] = await once(created, "exit");
      assert.equal(code, 0);
      assert.equal((await resultOf(oci.spawn(["start", id], { env }))).code, 0);
      const { pid } = await oci.state(id);
      const told = await manager.lines();
      assert.deepEqual(told, ["READY=1", `MAINPID=${pid}`, "BARRIER=1"]);
    } finally {
      manager.stop();
      await oci.ok("delete", "-f", id);
    }
  });

  test("in the foreground the main process is the runtime's own, until it has ended", async () => {
    const path = oci.path("manager-run");
    const manager = await listener("manager", path);
    const { id, bundle } = await oci.bundle(["seq", "notify READY=1", "eof", "exit 3"]);
    try {
      const child = oci.spawn(["run", "-b", bundle, id], { env: { NOTIFY_SOCKET: path } });
      const result = resultOf(child);
      assert.deepEqual(await manager.lines(), ["READY=1", `MAINPID=${child.pid}`, "BARRIER=1"]);
      child.stdin!.end();
      assert.equal((await result).code, 3);
    } finally {
      manager.stop();
    }
  });

  test("a program that ends without a word holds nobody up", async () => {
    const manager = await listener("manager", oci.path("manager-mute"));
    const { id, bundle } = await oci.bundle(["true"]);
    try {
      const env = { NOTIFY_SOCKET: oci.path("manager-mute") };
      const child = oci.spawn(["run", "--detach", "-b", bundle, id], { env });
      assert.equal((await resultOf(child)).code, 0);
      assert.equal((await oci.state(id)).status, "stopped");
    } finally {
      manager.stop();
      await oci.ok("delete", "-f", id);
    }
  });

  test(`a pidfd of the container, and one of a further process ${proves("runc-cmd", "create --pidfd-socket", "exec --pidfd-socket")} ${proves("shim-iface", "console-socket / pidfd-socket")}`, async () => {
    const first = await listener("handed", oci.path("pidfd"));
    const { id, bundle } = await oci.bundle(["sleep"]);
    await oci.detached("create", "-b", bundle, "--pidfd-socket", oci.path("pidfd"), id);
    const { pid } = await oci.state(id);
    assert.deepEqual(await first.lines(), [`standard ${pid}`]);
    await oci.ok("start", id);
    const second = await listener("handed", oci.path("pidfd-exec"));
    const pidFile = oci.path("pid-exec");
    const sockets = ["--pidfd-socket", oci.path("pidfd-exec"), "--pid-file", pidFile];
    await oci.detached("exec", "--detach", ...sockets, id, "sleep");
    assert.deepEqual(await second.lines(), [`setns ${readFileSync(pidFile, "utf8")}`]);
    await oci.ok("delete", "-f", id);
    const refused = await oci.bundle(["sleep"]);
    const nowhere = ["--pidfd-socket", oci.path("nobody-listens")];
    const { stderr } = await oci.call("create", "-b", refused.bundle, ...nowhere, refused.id);
    assert.match(stderr, /cannot pass the pidfd to .*nobody-listens/);
    assert.match((await oci.call("state", refused.id)).stderr, /container does not exist/);
  });

  test(`orphans fall to the runtime in the foreground, unless it is told not to ${proves("runc-cmd", "run --no-subreaper")}`, async () => {
    for (const flags of [[], ["--no-subreaper"]]) {
      const { id, bundle } = await oci.bundle(["seq", "orphan", "eof"], (spec) => {
        const { linux } = spec;
        linux!.namespaces = linux!.namespaces!.filter(({ type }) => type !== "pid");
      });
      const child = oci.spawn(["run", ...flags, "-b", bundle, id]);
      const result = resultOf(child);
      const [data] = (await once(child.stdout!, "data")) as [Buffer];
      const orphan = Number(data.toString());
      const parentOf = (one: number) =>
        Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${one}/status`, "utf8"))?.[1]);
      const { pid } = await oci.state(id);
      // The process between the container's first one and the orphan.
      await until("the death of its parent", () => parentOf(parentOf(orphan)) !== pid);
      assert.equal(parentOf(orphan) === child.pid, flags.length === 0);
      child.stdin!.end();
      assert.equal((await result).code, 0);
      await until("the orphan's end", () => {
        try {
          return /^State:\s+Z/m.test(readFileSync(`/proc/${orphan}/status`, "utf8"));
        } catch {
          return true;
        }
      });
    }
  });
});
