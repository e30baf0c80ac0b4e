// Networks of a container: none, host, the default bridge, another container's; published ports in
// their forms; the files that name resolution reads.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("networks of a container", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const listener = async (...flags: string[]) => {
    const id = await ok("run", "-d", ...flags, IMAGE, "listen", "tcp", "80");
    await daemon.session("logs", "-f", id).until("listening");
    return id;
  };
  const inspect = (id: string, format: string) => ok("inspect", "-f", format, id);
  const interfaces = async (...flags: string[]) => {
    const text = await ok("run", "--rm", ...flags, IMAGE, "cat", "/proc/net/dev");
    return [...text.matchAll(/^ *([\w.]+):/gm)].map((match) => match[1]);
  };

  test("none has only a loopback interface, the bridge has eth0", async () => {
    assert.deepEqual(await interfaces("--network", "none"), ["lo"]);
    assert.deepEqual((await interfaces()).sort(), ["eth0", "lo"]);
  });

  test("host is the daemon's own network", async () => {
    const id = await ok("run", "-d", "--network", "host", IMAGE, "listen", "tcp", "7000");
    await daemon.session("logs", "-f", id).until("listening");
    const { stdout } = await daemon.onHost("connect", "tcp", "127.0.0.1", "7000");
    assert.match(stdout, /hello from .* to 127\.0\.0\.1/);
    await ok("rm", "-f", id);
  });

  test("two containers of the bridge reach each other and their gateway", async () => {
    const id = await listener("--name", "server");
    const address = await inspect(id, "{{.NetworkSettings.Networks.bridge.IPAddress}}");
    assert.match(address, /^\d+\.\d+\.\d+\.\d+$/);
    const text = await ok("run", "--rm", IMAGE, "connect", "tcp", address, "80");
    assert.match(text, new RegExp(`hello from ${id.slice(0, 12)}`));
    await ok("rm", "-f", id);
  });

  test("a container joins the network of another", async () => {
    const id = await listener();
    const flags = ["--rm", "--network", `container:${id}`];
    const text = await ok("run", ...flags, IMAGE, "connect", "tcp", "127.0.0.1", "80");
    assert.match(text, /hello from/);
    await ok("rm", "-f", id);
  });

  test("-p publishes on every address of the host, loopback and IPv6 included", async () => {
    const id = await listener("-p", "8080:80");
    for (const address of ["127.0.0.1", "::1"]) {
      const { code, stdout, stderr } = await daemon.onHost("connect", "tcp", address, "8080");
      assert.equal(code, 0, `${address}: ${stderr}`);
      assert.match(stdout, /hello from/);
    }
    assert.equal(await ok("port", id, "80"), "0.0.0.0:8080\n[::]:8080");
    assert.match(await ok("ps", "--format", "{{.Ports}}"), /0\.0\.0\.0:8080->80\/tcp/);
    await ok("rm", "-f", id);
    assert.notEqual((await daemon.onHost("connect", "tcp", "127.0.0.1", "8080")).code, 0);
  });

  test("-p takes one address, a random port, a range, and udp", async () => {
    const one = await listener("-p", "127.0.0.1:8081:80");
    assert.equal(await ok("port", one), "80/tcp -> 127.0.0.1:8081");
    const any = await listener("-p", "80");
    const port = (await ok("port", any, "80")).match(/0\.0\.0\.0:(\d+)/)![1]!;
    assert.match((await daemon.onHost("connect", "tcp", "127.0.0.1", port)).stdout, /hello/);
    const range = await listener("-p", "9000-9002:79-81");
    assert.match((await daemon.onHost("connect", "tcp", "127.0.0.1", "9001")).stdout, /hello/);
    const udp = await ok("run", "-d", "-p", "5353:53/udp", IMAGE, "listen", "udp", "53");
    await daemon.session("logs", "-f", udp).until("listening");
    assert.match((await daemon.onHost("connect", "udp", "127.0.0.1", "5353")).stdout, /hello/);
    await ok("rm", "-f", one, any, range, udp);
  });

  test("a port in use is refused with docker's words and leaves nothing", async () => {
    const id = await listener("-p", "8082:80");
    const { code, stderr } = await daemon.client(["run", "--rm", "-p", "8082:80", IMAGE, "true"]);
    assert.equal(code, 125);
    assert.match(stderr, /Bind for 0\.0\.0\.0:8082 failed: port is already allocated/);
    assert.equal(await ok("ps", "-aq", "--no-trunc"), id);
    await ok("rm", "-f", id);
  });

  test("/etc/hosts, /etc/hostname and /etc/resolv.conf are written for it", async () => {
    const flags = [
      "--add-host",
      "db:10.1.2.3",
      "--dns",
      "10.9.8.7",
      "--dns-search",
      "example.test",
    ];
    const more = ["--dns-opt", "ndots:2", "-h", "box"];
    const files = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
    const text = await ok("run", "--rm", ...flags, ...more, IMAGE, "cat", ...files);
    assert.match(text, /^127\.0\.0\.1\s+localhost/m);
    assert.match(text, /^10\.1\.2\.3\s+db$/m);
    assert.match(text, /^\d+\.\d+\.\d+\.\d+\s+box$/m);
    assert.match(text, /^box$/m);
    assert.match(text, /^nameserver 10\.9\.8\.7$/m);
    assert.match(text, /^search example\.test$/m);
    assert.match(text, /^options ndots:2$/m);
  });

  test("ports stay published while the daemon is away and after it is back", async () => {
    const id = await listener("-p", "8083:80");
    await daemon.kill9();
    assert.match((await daemon.onHost("connect", "tcp", "127.0.0.1", "8083")).stdout, /hello/);
    await daemon.start();
    assert.match((await daemon.onHost("connect", "tcp", "127.0.0.1", "8083")).stdout, /hello/);
    assert.equal(await ok("port", id, "80"), "0.0.0.0:8083\n[::]:8083");
    await ok("rm", "-f", id);
    const again = await listener("-p", "8083:80");
    await ok("rm", "-f", again);
  });
});
