// The host's name servers change while a container runs, and while the daemon is away.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { Agent } from "../support/network-lab.ts";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const run = promisify(execFile);
const TURN_MS = 50;
const TURNS_MAX = 400;

describe("the host's name servers", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let host: Agent;
  let container: Agent;
  let file: string;
  const inHost = () => ["-t", String(daemon.namespacesPid), "-m", "--"];
  before(async () => {
    daemon = await startDaemon();
    file = join(daemon.folder, "resolv.conf");
    await writeFile(file, "nameserver 127.0.0.1\n");
    await run("nsenter", [...inHost(), "mount", "--bind", file, "/etc/resolv.conf"]);
    host = await Agent.start({ beside: daemon.namespacesPid });
    for (const last of [1, 2, 3]) {
      await host.ask({ do: "serve-dns", host: `127.0.0.${last}`, answer: `server ${last}` });
    }
    await daemon.kill9();
    await daemon.start();
    await daemon.ok("network", "create", "one");
    await daemon.ok("run", "-d", "--name", "box", "--network", "one", IMAGE, "sleep", "300");
    const pid = Number(await daemon.ok("inspect", "-f", "{{.State.Pid}}", "box"));
    container = await Agent.start({ beside: pid });
  });
  after(async () => {
    await container?.end();
    await host?.end();
    await daemon?.ok("rm", "-f", "box");
    await run("nsenter", [...inHost(), "umount", "/etc/resolv.conf"]);
    await daemon?.stop();
  });
  const inHostNetwork = () => ["-t", String(daemon.namespacesPid), "-n", "--"];
  const bridgeOf = async (network: string) =>
    `br-${(await daemon.ok("network", "inspect", "-f", "{{.Id}}", network)).slice(0, 12)}`;
  const ask = () => container.ask({ do: "dns", name: "x.example", type: "TXT" });
  const answers = async (wanted: string) => {
    let said = await ask();
    // Nobody is told when the servers have been taken up: that is what is looked for.
    for (let turn = 0; turn < TURNS_MAX && said !== wanted; turn++, said = await ask()) {
      await delay(TURN_MS);
    }
    assert.equal(said, wanted);
  };

  test("a change reaches a running container", async () => {
    assert.equal(await ask(), "server 1");
    await writeFile(file, "nameserver 127.0.0.2\n");
    await answers("server 2");
  });

  test("a server to which the container has no way is asked from the host", async () => {
    await run("nsenter", [
      ...inHostNetwork(),
      "ip",
      "address",
      "add",
      "198.51.100.53",
      "dev",
      "lo",
    ]);
    await host.ask({ do: "serve-dns", host: "198.51.100.53", answer: "a server of the host's" });
    // Packets of the container that are for it are thrown away.
    const rule = ["add", "pref", "1", "iif", await bridgeOf("one"), "to", "198.51.100.53"];
    await run("nsenter", [...inHostNetwork(), "ip", "rule", "add", "pref", "5", "lookup", "local"]);
    await run("nsenter", [...inHostNetwork(), "ip", "rule", "del", "pref", "0"]);
    await run("nsenter", [...inHostNetwork(), "ip", "rule", ...rule, "blackhole"]);
    await writeFile(file, "nameserver 198.51.100.53\n");
    await answers("a server of the host's");
  });

  test("a server to which the host has no way is given up at once", async () => {
    await writeFile(file, "nameserver 203.0.113.53\n");
    await answers("ESERVFAIL");
  });

  test("a change while the daemon was away reaches it when the daemon is back", async () => {
    await daemon.kill9();
    await writeFile(file, "nameserver 127.0.0.3\n");
    assert.equal(await ask(), "ESERVFAIL");
    await daemon.start();
    await answers("server 3");
  });
});
