// Events of a real daemon: what docker's client hears, what a daemon that was killed still knows,
// and how a consumer goes on where it was. And what a prune would remove, which is not removed.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { IMAGE, root, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import { run } from "./process.ts";

interface Heard {
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
  timeNano: number;
}

async function post(socketPath: string, path: string): Promise<string> {
  const call = request({ socketPath, method: "POST", path, agent: false });
  call.end();
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  return await text(answer);
}

describe("events", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon?.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  /** Our own command line. */
  const gantry = async (...args: string[]): Promise<string> => {
    const env = { ...daemon.env, GANTRY_PLAIN: "1" };
    const { code, stdout, stderr } = await run(`${root}/bin/gantry`, args, { env });
    assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
    return stdout.trim();
  };
  const heard = async (...args: string[]): Promise<Heard[]> => {
    const until = ["--until", String(Date.now() / 1000)];
    const shown = await ok("events", "--since", "0", ...until, "--format", "json", ...args);
    return shown
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Heard);
  };
  const told = (events: Heard[]): string[] =>
    events.map(({ Type, Action, Actor }) => {
      const attributes = Object.keys(Actor.Attributes);
      assert.deepEqual(attributes, attributes.toSorted(), "attributes are in order");
      return `${Type} ${Action} [${attributes.join(" ")}]`;
    });

  test("have docker's names and attributes, in docker's order", async () => {
    await ok("volume", "create", "ev");
    await ok("run", "--name", "noisy", "--network", "none", "-v", "ev:/v", "-l", "a=b", IMAGE);
    await ok("rm", "noisy");
    await ok("volume", "rm", "ev");
    // As dockerd 28.5 tells of the same commands.
    const common = "a image name";
    assert.deepEqual(told(await heard("--filter", "container=noisy")), [
      `container create [${common}]`,
      `container attach [${common}]`,
      `container start [${common}]`,
      `container die [a execDuration exitCode image name]`,
      `container destroy [${common}]`,
    ]);
    assert.deepEqual(told(await heard("--filter", "volume=ev")), [
      "volume create [driver]",
      "volume mount [container destination driver propagation read/write]",
      "volume unmount [container driver]",
      "volume destroy [driver]",
    ]);
  });

  test("of a daemon that was killed are on disk, and a cursor goes on there", async () => {
    await ok("create", "--name", "first", "--network", "none", IMAGE);
    const lines = (shown: string): string[] => shown.split("\n").filter(Boolean);
    const filter = ["--filter", "type=container", "--filter", "event=create"];
    const now = () => String(Date.now() / 1000);
    const before = lines(
      await gantry("events", "--since", "0", "--until", now(), "--cursor", ...filter),
    );
    const cursor = before.at(-1)!.split(" ")[0]!;
    assert.match(cursor, /^[0-9a-f]{8}-\d+$/);
    await ok("create", "--name", "second", "--network", "none", IMAGE);
    const all = await heard();
    await daemon.restart("SIGKILL");
    await ok("create", "--name", "third", "--network", "none", IMAGE);
    const again = await heard();
    assert.deepEqual(again.slice(0, all.length), all);
    const rest = lines(await gantry("events", "--after", cursor, "--until", now(), ...filter));
    assert.equal(rest.length, 2);
    assert.match(rest[0]!, /name=second/);
    assert.match(rest[1]!, /name=third/);
    await ok("rm", "first", "second", "third");
  });

  test("are heard live, and one filter after the other is obeyed", async () => {
    const stream = await daemon.dockerode.getEvents({
      filters: { type: ["container"], event: ["create", "destroy"], label: ["live=yes"] },
    });
    const found: string[] = [];
    const enough = Promise.withResolvers<void>();
    createInterface({ input: stream }).on("line", (line) => {
      found.push((JSON.parse(line) as Heard).Action);
      if (found.length >= 2) enough.resolve();
    });
    await ok("run", "--rm", "--network", "none", "-l", "live=no", IMAGE);
    await ok("run", "--rm", "--network", "none", "-l", "live=yes", IMAGE);
    await enough.promise;
    assert.deepEqual(found, ["create", "destroy"]);
    (stream as unknown as { destroy(): void }).destroy();
  });

  test("a dry run tells what a prune then removes, and removes nothing", async () => {
    await ok("volume", "create", "named");
    await ok("run", "--name", "spent", "--network", "none", "-v", "/anon", IMAGE);
    await ok("network", "create", "idle");
    await ok("commit", "spent", "derived:1");
    const state = async (): Promise<string> =>
      [
        await ok("ps", "-aq"),
        await ok("network", "ls", "-q"),
        await ok("volume", "ls", "-q"),
        await ok("images", "-aq"),
      ].join("\n--\n");
    const before = await state();
    const shown = await gantry("system", "prune", "-a", "--volumes", "--dry-run");
    assert.match(shown, /^container +\w{12} +spent /m);
    assert.match(shown, /^network +\w{12} +idle /m);
    assert.match(shown, /^volume +\w{64} /m);
    assert.match(shown, /^image +\w{12} +derived:1 /m);
    assert.match(shown, /Would reclaim: .* \(nothing was removed\)$/);
    assert.doesNotMatch(shown, /named/);
    assert.equal(await state(), before);
    for (const path of ["containers", "images", "networks", "volumes", "build"]) {
      const answer = await post(daemon.socket, `/v1.51/${path}/prune?dry-run=1`);
      assert.equal(JSON.parse(answer).DryRun, true, answer);
    }
    assert.equal(await state(), before);
    const planned = shown.split("\n").slice(1, -1).length;
    const real = await gantry("system", "prune", "-af", "--volumes");
    for (const name of ["Deleted Containers", "Deleted Networks", "Deleted Volumes"]) {
      assert.match(real, new RegExp(`^${name}:$`, "m"));
    }
    assert.match(real, /^untagged: derived:1$/m);
    assert.ok(planned >= 4, shown);
    const left = await gantry("system", "prune", "-a", "--volumes", "--dry-run");
    assert.doesNotMatch(left, /spent|idle|derived/);
    await ok("volume", "rm", "named");
  });

  test("a swarm's commands end as those of docker do on a node in none", async () => {
    for (const args of [
      ["node", "ls"],
      ["service", "ls"],
      ["swarm", "leave"],
      ["secret", "ls"],
    ]) {
      const stock = await daemon.client(args);
      const env = { ...daemon.env, GANTRY_PLAIN: "1" };
      const ours = await run(`${root}/bin/gantry`, args, { env });
      assert.deepEqual([ours.code, ours.stderr], [stock.code, stock.stderr], args.join(" "));
      assert.equal(ours.code, 1);
    }
    const { stderr } = await daemon.client(["swarm", "init"]);
    assert.match(stderr, /there is no swarm mode/);
    assert.equal(await gantry("plugin", "ls"), await ok("plugin", "ls"));
  });
});
