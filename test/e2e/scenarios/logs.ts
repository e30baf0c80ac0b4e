// logs through a client: drivers, sizes, compression, times, and how mistakes are told.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IMAGE, type TestDaemon } from "../harness.ts";

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, n) => `line ${from + n}`).join("\n");

export function logScenarios(daemon: () => TestDaemon): void {
  const ok = (...args: string[]) => daemon().ok(...args);
  const net = ["--network", "none"];
  const runToEnd = async (options: string[], ...command: string[]) => {
    const id = await ok("run", "-d", ...net, ...options, IMAGE, ...command);
    await ok("wait", id);
    return id;
  };
  const small = ["--log-opt", "max-size=4k", "--log-opt", "max-file=300"];

  for (const driver of ["json-file", "local"]) {
    test(`${driver} keeps both streams, in order, over many compressed files`, async () => {
      const options = ["--log-driver", driver, ...small, "--log-opt", "compress=true"];
      const id = await runToEnd(options, "lines", "2000", "-1");
      const { stdout, stderr } = await daemon().client(["logs", id]);
      const all = numbered(1, 2000).split("\n");
      assert.equal(stdout.trimEnd(), all.filter((_, n) => n % 2 === 0).join("\n"));
      assert.equal(stderr.trimEnd(), all.filter((_, n) => n % 2 === 1).join("\n"));
      const tail = await daemon().client(["logs", "--tail", "3", id]);
      assert.equal(tail.stdout.trimEnd(), "line 1999");
      assert.equal(tail.stderr.trimEnd(), "line 1998\nline 2000");
      const inspect = await ok("inspect", "-f", "{{.HostConfig.LogConfig.Type}} {{.LogPath}}", id);
      assert.match(inspect, driver === "local" ? /^local$/ : /^json-file \/.*-json\.log$/);
      await ok("rm", id);
    });
  }

  test("times and the number of lines bound what is shown", async () => {
    const id = await runToEnd([], "lines", "50", "2");
    const stamped = await ok("logs", "-t", id);
    const [since, until] = [20, 30].map((n) => stamped.split("\n")[n]!.split(" ")[0]!);
    assert.equal(await ok("logs", "--since", since!, id), numbered(21, 50));
    assert.equal(await ok("logs", "--since", since!, "--until", until!, id), numbered(21, 31));
    assert.equal(await ok("logs", "--since", since!, "-n", "2", id), numbered(49, 50));
    assert.equal(await ok("logs", "--since", "10m", "--until", "5m", id), "");
    await ok("rm", id);
  });

  test("what was written last is followed until the container ends, for many at once", async () => {
    const id = await ok("run", "-d", ...net, ...small, IMAGE, "lines", "400", "2");
    const followed = await Promise.all([1, 2, 3, 4].map(() => ok("logs", "-f", id)));
    for (const text of followed) assert.equal(text, numbered(1, 400));
    await ok("rm", "-f", id);
  });

  test("a container without a log, and options that there are not", async () => {
    const id = await runToEnd(["--log-driver", "none"], "echo", "hi");
    const logs = await daemon().client(["logs", id]);
    assert.match(logs.stderr, /configured logging driver does not support reading/);
    await ok("rm", id);
    const refused = async (says: RegExp, ...options: string[]) => {
      const { code, stderr } = await daemon().client(["create", ...options, IMAGE]);
      assert.notEqual(code, 0);
      assert.match(stderr, says);
    };
    await refused(/unknown log opt 'x' for json-file log driver/, "--log-opt", "x=1");
    await refused(/logging mode not supported: fast/, "--log-opt", "mode=fast");
  });

  test("labels, variables and a tag are details", async () => {
    const options = ["--log-opt", "tag={{.Name}}/{{truncate .FullID 4}}", "--log-opt", "env=E"];
    const id = await runToEnd([...options, "-e", "E=1", "--name", "tagged"], "echo", "hi");
    assert.equal(await ok("logs", "--details", id), `E=1,tag=tagged%2F${id.slice(0, 4)} hi`);
    await ok("rm", id);
  });
}
