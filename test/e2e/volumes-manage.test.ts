// The volume commands of docker's own client: what they list, show, refuse and remove.

import assert from "node:assert/strict";
import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

describe("the volume commands", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const lines = async (...args: string[]) => (await ok(...args)).split("\n").filter(Boolean);
  const create = (...args: string[]) => ok("create", "--network", "none", ...args);
  const refuse = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await daemon.client(args);
    assert.notEqual(code, 0, args.join(" "));
    return stderr.trim();
  };
  const api = async (method: string, path: string, body?: object) => {
    const call = request({ socketPath: daemon.socket, method, path });
    call.setHeader("content-type", "application/json");
    call.end(body && JSON.stringify(body));
    const [response] = (await new Promise<unknown[]>((resolve, reject) => {
      call.once("response", (...args) => resolve(args));
      call.once("error", reject);
    })) as [import("node:http").IncomingMessage];
    const answer = await text(response);
    return { status: response.statusCode, body: answer && JSON.parse(answer) };
  };
  const clear = async () => {
    const names = await lines("volume", "ls", "-q");
    if (names.length > 0) await ok("volume", "rm", ...names);
  };

  test("create gives a name, or makes one; inspect shows every field", async () => {
    assert.equal(await ok("volume", "create", "--label", "a=b", "--label", "c", "named"), "named");
    const options = ["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m"];
    await ok("volume", "create", ...options, "mounted");
    const [named, mounted] = JSON.parse(await ok("volume", "inspect", "named", "mounted"));
    assert.match(named.CreatedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    delete named.CreatedAt;
    assert.deepEqual(named, {
      Driver: "local",
      Labels: { a: "b", c: "" },
      Mountpoint: join(daemon.folder, "data/volumes/named/_data"),
      Name: "named",
      Options: null,
      Scope: "local",
    });
    assert.deepEqual(mounted.Options, { type: "tmpfs", device: "tmpfs", o: "size=1m" });
    const anonymous = await ok("volume", "create");
    assert.match(anonymous, /^[0-9a-f]{64}$/);
    const label = "{{json .Labels}}";
    assert.equal(
      await ok("volume", "inspect", "-f", label, anonymous),
      '{"com.docker.volume.anonymous":""}',
    );
    // The second time it is the first one, whatever is said of it.
    assert.equal(await ok("volume", "create", "--label", "other", "named"), "named");
    assert.equal(await ok("volume", "inspect", "-f", label, "named"), '{"a":"b","c":""}');
    await clear();
  });

  test("what is wrong with a volume is said in docker's words", async () => {
    const wrong: [args: string[], words: string][] = [
      [["-o", "foo=bar", "vv"], 'create vv: invalid option: "foo"'],
      [["-o", "type=tmpfs", "vv"], 'create vv: missing required option: "device"'],
      [["-o", "o=size=1", "vv"], 'create vv: missing required option: "device"'],
      [
        ["v"],
        "create v: volume name is too short, names should be at least two alphanumeric chara",
      ],
      [
        ["a/b"],
        'create a/b: "a/b" includes invalid characters for a local volume name, only "[a-z',
      ],
      [["../x"], 'create ../x: "../x" includes invalid characters for a local volume name'],
      [["--group", "g", "vv"], "This node is not a swarm manager"],
    ];
    for (const [args, words] of wrong) {
      const stderr = await refuse("volume", "create", ...args);
      assert.ok(stderr.startsWith(`Error response from daemon: ${words}`), stderr);
    }
    assert.match(await refuse("volume", "rm", "nosuch"), /get nosuch: no such volume/);
    assert.match(await refuse("volume", "inspect", "nosuch"), /get nosuch: no such volume/);
    assert.equal(await ok("volume", "rm", "-f", "nosuch"), "nosuch");
    await ok("volume", "create", "plain");
    assert.match(await refuse("volume", "update", "plain"), /only update cluster volumes/);
    const update = await api("PUT", "/v1.45/volumes/plain?version=1", {});
    assert.deepEqual(update, {
      status: 503,
      body: { message: "volume update only valid for cluster volumes, but swarm is unavailable" },
    });
    await clear();
  });

  test("ls filters by driver, label, name and use; labels are conjoined, the rest are choices", async () => {
    await ok("volume", "create", "--label", "env=prod", "--label", "team=a", "web-data");
    await ok("volume", "create", "--label", "env=prod", "web-logs");
    await ok("volume", "create", "cache");
    const id = await create("-v", "cache:/c", IMAGE);
    const ls = (...filters: string[]) =>
      lines("volume", "ls", "-q", ...filters.flatMap((filter) => ["-f", filter]));
    assert.deepEqual(await ls("name=web"), ["web-data", "web-logs"]);
    assert.deepEqual(await ls("name=^web-l"), ["web-logs"]);
    assert.deepEqual(await ls("name=cache", "name=logs$"), ["cache", "web-logs"]);
    assert.deepEqual(await ls("label=env"), ["web-data", "web-logs"]);
    assert.deepEqual(await ls("label=env=prod", "label=team=a"), ["web-data"]);
    assert.deepEqual(await ls("dangling=true"), ["web-data", "web-logs"]);
    assert.deepEqual(await ls("dangling=0"), ["cache"]);
    assert.deepEqual(await ls("driver=local", "name=cache"), ["cache"]);
    assert.deepEqual(await ls("driver=nosuch"), []);
    for (const [filter, words] of [
      ["dangling=maybe", "invalid filter 'dangling=[maybe]'"],
      ["label!=x", "invalid filter 'label!'"],
      ["until=1h", "invalid filter 'until'"],
    ] as const) {
      assert.ok((await refuse("volume", "ls", "-f", filter)).includes(words));
    }
    await ok("rm", id);
    await clear();
  });

  test("rm names the containers that use a volume", async () => {
    const ids = [await create("-v", "busy:/a", IMAGE), await create("-v", "busy:/b", IMAGE)];
    const stderr = await refuse("volume", "rm", "busy");
    assert.equal(
      stderr,
      `Error response from daemon: remove busy: volume is in use - [${ids.join(", ")}]`,
    );
    assert.match(await refuse("volume", "rm", "-f", "busy"), /volume is in use/);
    await ok("rm", ...ids);
    await clear();
  });

  test("prune takes anonymous volumes, named ones when asked, and what the filters leave", async () => {
    const setUp = async () => {
      await ok("volume", "create", "--label", "keep", "named-kept");
      await ok("volume", "create", "named");
      return await ok("volume", "create");
    };
    const anonymous = await setUp();
    const used = await create("-v", "/data", IMAGE);
    const pruned = await ok("volume", "prune", "-f");
    assert.match(
      pruned,
      new RegExp(`^Deleted Volumes:\n${anonymous}\n\nTotal reclaimed space: 0B`),
    );
    assert.equal((await lines("volume", "ls", "-q", "-f", "dangling=true")).length, 2);
    await ok("volume", "prune", "-f", "-a", "--filter", "label!=keep");
    assert.deepEqual(await lines("volume", "ls", "-q", "-f", "dangling=true"), ["named-kept"]);
    await ok("volume", "prune", "-f", "-a", "--filter", "label=keep");
    assert.deepEqual(await lines("volume", "ls", "-q", "-f", "dangling=true"), []);
    await setUp();
    // Before API 1.42 named volumes were not spared.
    const old = await api("POST", "/v1.41/volumes/prune");
    assert.equal(old.body.VolumesDeleted.length, 3);
    const bad = await api(
      "POST",
      `/v1.45/volumes/prune?filters=${encodeURIComponent('{"all":["x"]}')}`,
    );
    assert.deepEqual(
      [bad.status, bad.body.message],
      [400, `invalid filter 'all': strconv.ParseBool: parsing "x": invalid syntax`],
    );
    await ok("rm", "-v", used);
    assert.deepEqual(await lines("volume", "ls", "-q"), []);
  });

  test("rm -v and --rm take anonymous volumes, never named ones nor those of others", async () => {
    const owner = await create("-v", "/data", "-v", "named:/n", IMAGE);
    const format = '{{range .Mounts}}{{if eq .Destination "/data"}}{{.Name}}{{end}}{{end}}';
    const anonymous = await ok("inspect", "-f", format, owner);
    const sharer = await create("--volumes-from", owner, IMAGE);
    await ok("rm", "-v", owner);
    assert.deepEqual((await lines("volume", "ls", "-q")).sort(), [anonymous, "named"].sort());
    await ok("rm", "-v", sharer);
    assert.deepEqual(await lines("volume", "ls", "-q"), ["named"]);
    // By its name, an anonymous volume is as good as any other.
    const left = await create("-v", "/data", IMAGE);
    const kept = await ok("inspect", "-f", format, left);
    await ok("rm", left);
    await ok("run", "--rm", "--network", "none", "-v", `${kept}:/k`, IMAGE, "cat", "/k/seed");
    assert.ok((await lines("volume", "ls", "-q")).includes(kept));
    await clear();
  });

  test("volumes-from takes mounts over as they are, and may only take writing away", async () => {
    const bind = ["--mount", `type=bind,src=${daemon.folder},dst=/b,readonly`];
    const owner = await create("-v", "vol:/v", ...bind, "--tmpfs", "/t", IMAGE);
    const mounts = async (...args: string[]) => {
      const id = await create(...args, IMAGE);
      const list = JSON.parse(await ok("inspect", "-f", "{{json .Mounts}}", id));
      await ok("rm", id);
      return list
        .map((m: { Destination: string; RW: boolean }) => `${m.Destination} ${m.RW}`)
        .sort();
    };
    assert.deepEqual(await mounts("--volumes-from", owner), ["/b false", "/v true"]);
    assert.deepEqual(await mounts("--volumes-from", `${owner}:ro`), ["/b false", "/v false"]);
    assert.deepEqual(await mounts("--volumes-from", `${owner}:rw,z`), ["/b false", "/v true"]);
    const over = ["--volumes-from", owner, "-v", "other:/v:ro"];
    assert.deepEqual(await mounts(...over), ["/b false", "/v false"]);
    for (const mode of ["nocopy", "rshared", "bogus"]) {
      const stderr = await refuse("create", "--volumes-from", `${owner}:${mode}`, IMAGE);
      assert.ok(stderr.includes(`invalid mode: ${mode}`), stderr);
    }
    assert.match(
      await refuse("create", "--volumes-from", "nosuch", IMAGE),
      /^Error response from daemon: No such container: nosuch$/m,
    );
    await ok("rm", owner);
    await clear();
  });

  test("events tell of a volume's life", async () => {
    const since = String(Math.floor(Date.now() / 1000));
    const flags = ["--network", "none", "--name", "lives", "-v", "told:/v:ro"];
    await ok("run", "--rm", ...flags, IMAGE, "true");
    await ok("volume", "rm", "told");
    const until = String(Math.ceil(Date.now() / 1000) + 1);
    const range = ["--since", since, "--until", until, "--filter", "volume=told"];
    const events = await lines("events", ...range, "--format", "{{json .}}");
    const told = events.map((line) => JSON.parse(line));
    assert.deepEqual(
      told.map(({ Action }) => Action),
      ["create", "mount", "unmount", "destroy"],
    );
    const { container, ...mount } = told[1].Actor.Attributes;
    assert.match(container, /^[0-9a-f]{64}$/);
    assert.deepEqual(mount, {
      driver: "local",
      destination: "/v",
      propagation: "",
      "read/write": "false",
    });
  });

  test("system df counts what volumes take and who uses them", async () => {
    await ok("run", "--rm", "--network", "none", "-v", "sized:/v", IMAGE, "write", "/v/x", "12345");
    const id = await create("-v", "sized:/v", IMAGE);
    await ok("volume", "create", "-o", "type=nfs", "-o", "device=:/x", "-o", "o=addr=::1", "away");
    const { body } = await api("GET", "/v1.47/system/df?type=volume");
    const usage = Object.fromEntries(
      body.Volumes.map((v: { Name: string; UsageData: object }) => [v.Name, v.UsageData]),
    );
    assert.deepEqual(usage, {
      sized: { Size: 6, RefCount: 1 },
      away: { Size: -1, RefCount: 0 },
    });
    assert.match(await ok("system", "df", "-v"), /sized +1 +6B/);
    await ok("rm", id);
    await clear();
  });

  test("the mounts of a container are shown as docker shows them", async () => {
    const id = await create(
      ...["-v", "vol:/v:ro", "-v", `${daemon.folder}:/b:rslave,z`, "-v", "/anon"],
      ...["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m", "--mount", "type=volume,src=two,dst=/w"],
      IMAGE,
    );
    const mounts = JSON.parse(await ok("inspect", "-f", "{{json .Mounts}}", id));
    const byPlace = Object.fromEntries(
      mounts.map(({ Destination, ...rest }: { Destination: string }) => [Destination, rest]),
    );
    const data = (name: string) => join(daemon.folder, "data/volumes", name, "_data");
    const volume = { Type: "volume", Driver: "local", Propagation: "" };
    assert.deepEqual(byPlace["/v"], {
      ...volume,
      Name: "vol",
      Source: data("vol"),
      Mode: "ro",
      RW: false,
    });
    assert.deepEqual(byPlace["/w"], {
      ...volume,
      Name: "two",
      Source: data("two"),
      Mode: "z",
      RW: true,
    });
    assert.deepEqual(byPlace["/b"], {
      ...{ Type: "bind", Source: daemon.folder, Mode: "rslave,z", RW: true },
      Propagation: "rslave",
    });
    assert.deepEqual(byPlace["/t"], {
      ...{ Type: "tmpfs", Source: "", Mode: "", RW: true, Propagation: "" },
    });
    assert.deepEqual([byPlace["/anon"].Mode, byPlace["/anon"].RW], ["", true]);
    await ok("rm", "-v", id);
    await clear();
  });
});
