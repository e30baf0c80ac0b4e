// Containers in user namespaces of their own: what they see of their files, volumes, devices and
// streams, that the disk never hears of their ranges, and that a range is one container's only,
// through kill -9 too. Docker's own client knows no --userns=auto: it says so by --security-opt.

import assert from "node:assert/strict";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import tar from "tar-stream";
import { IMAGE, startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

const POOL = { start: 700_000_000, size: 4 * 65_536 };
const auto = (options = ""): string[] => ["--security-opt", `userns=auto${options}`];

describe("user namespaces of containers", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    const args = ["--userns-pool", `${POOL.start}:${POOL.size}`];
    daemon = await startDaemon({ args });
  });
  after(() => daemon.stop());
  const ok = (...args: string[]) => daemon.ok(...args);
  const flags = (options?: string) => ["--network", "none", ...auto(options)];
  const run = (...args: string[]) => ok("run", "--rm", ...flags(), ...args);
  const refuse = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await daemon.client(["run", "--rm", "--network", "none", ...args]);
    assert.notEqual(code, 0, args.join(" "));
    return stderr;
  };
  const data = (name: string) => join(daemon.folder, "data/volumes", name, "_data");
  const mapsOf = async (id: string): Promise<string[]> => {
    const { HostConfig } = await daemon.dockerode.getContainer(id).inspect();
    return (HostConfig as unknown as { IDMappings: { UidMap: string[] } }).IDMappings.UidMap;
  };
  const first = async (id: string) => Number((await mapsOf(id))[0]!.split(":")[1]);

  test("root inside is nobody outside, and everything inside is its own", async () => {
    const id = await ok("run", "-d", ...flags(), IMAGE, "sleep");
    const { State } = await daemon.dockerode.getContainer(id).inspect();
    const status = await readFile(`/proc/${State.Pid}/status`, "utf8");
    const start = await first(id);
    assert.ok(start >= POOL.start && start < POOL.start + POOL.size);
    assert.match(status, new RegExp(`Uid:\\s+${start}\\s+${start}`));
    const paths = ["/bin/payload", "/etc/hosts", "/etc/hostname", "/dev", "/dev/null", "/dev/shm"];
    paths.push("/dev/mqueue", "/dev/pts", "/tmp");
    const text = await ok("exec", id, "stat", ...paths);
    for (const line of text.split("\n")) assert.match(line, / uid=0 gid=0 /);
    assert.match(text, /\/dev\/null mode=20666 .*rdev=1:3/);
    assert.match(
      await ok("exec", id, "stat", "/home/app", "/data/seed"),
      /(.*uid=1000 gid=1000.*\n?){2}/,
    );
    assert.match(await ok("exec", "-u", "app", id, "id"), /uid=1000 gid=1000 groups=1000,2000/);
    assert.equal(
      await ok("exec", id, "cat", "/proc/self/uid_map"),
      `0 ${String(start).padStart(10)}      65536`,
    );
    await ok("rm", "-f", id);
  });

  test("nothing is ever chowned: the disk has the ids that the container sees", async () => {
    const id = await ok("run", "-d", ...flags(), "-v", "kept:/v", IMAGE, "sleep");
    const steps = ["mkdir /v/d", "write /v/f text", "chown 33 34 /v/f", "write /etc/new x"];
    await ok(
      "exec",
      id,
      "seq",
      ...steps,
      "chown 5 6 /etc/passwd",
      "chmod 4755 /v/f",
      "rm /data/seed",
    );
    const file = await stat(join(data("kept"), "f"));
    assert.deepEqual([file.uid, file.gid, file.mode & 0o7777], [33, 34, 0o4755]);
    assert.equal((await stat(join(data("kept"), "d"))).uid, 0);
    const upper = join(daemon.folder, "data/containers", id, "fs");
    assert.equal((await stat(join(upper, "etc/new"))).uid, 0);
    const passwd = await stat(join(upper, "etc/passwd"));
    assert.deepEqual([passwd.uid, passwd.gid], [5, 6]);
    assert.deepEqual((await ok("diff", id)).split("\n").sort(), [
      ...["A /etc/new", "A /v", "C /data", "C /etc", "C /etc/passwd", "D /data/seed"],
    ]);
    await ok("commit", id, "committed");
    const plain = ["run", "--rm", "--network", "none", "committed"];
    const text = await ok(...plain, "stat", "/etc/passwd", "/etc/new");
    assert.match(text, /passwd .*uid=5 gid=6.*\n.*new .*uid=0 gid=0/);
    await ok("rm", "-f", id);
    await ok("rmi", "committed");
    await ok("volume", "rm", "kept");
  });

  test("containers of different ranges share a volume with the same ids inside", async () => {
    const volume = ["-v", "shared:/v"];
    const one = await ok("run", "-d", ...flags(), ...volume, IMAGE, "sleep");
    const two = await ok("run", "-d", ...flags(":size=3000"), ...volume, IMAGE, "sleep");
    assert.notEqual(await first(one), await first(two));
    await ok("exec", one, "seq", "write /v/f from-one", "chown 1000 1000 /v/f", "chmod 600 /v/f");
    assert.match(await ok("exec", two, "stat", "/v/f"), /mode=100600 uid=1000 gid=1000/);
    await ok("exec", "-u", "app", two, "append", "/v/f", "from-two");
    const plain = ["run", "--rm", "--network", "none", "-u", "app", ...volume, IMAGE];
    assert.match(await ok(...plain, "cat", "/v/f"), /from-one\s+from-two/);
    await ok("rm", "-f", one, two);
    await ok("volume", "rm", "shared");
  });

  test("an image's content fills a volume with its own ids", async () => {
    assert.match(await run("-v", "filled:/data", IMAGE, "stat", "/data/seed"), /uid=1000 gid=1000/);
    assert.equal((await stat(join(data("filled"), "seed"))).uid, 1000);
    await ok("volume", "rm", "filled");
  });

  test("a bind has the host's owners, unless it is to have the container's", async () => {
    const source = join(daemon.folder, "bound");
    await writeFile(source, "private\n", { mode: 0o600 });
    assert.match(await run("-v", `${source}:/f`, IMAGE, "stat", "/f"), /uid=65534 gid=65534/);
    assert.match(await refuse(...auto(), "-v", `${source}:/f`, IMAGE, "cat", "/f"), /denied/);
    const mapped = ["-v", `${source}:/f:idmap`, IMAGE];
    assert.match(await run(...mapped, "seq", "stat /f", "cat /f"), /uid=0 gid=0 .*\nprivate/);
    await run("-u", "33:34", ...mapped, "write", "/f", "mine");
    assert.deepEqual([(await stat(source)).uid, await readFile(source, "utf8")], [0, "mine\n"]);
    await rm(source);
  });

  test("pipes, a terminal and a copy in and out know the container's ids", async () => {
    const id = await ok("run", "-d", ...flags(), "-u", "app", IMAGE, "sleep");
    const input = await daemon.client(["exec", "-i", id, "cat"], { input: "through\n" });
    assert.equal(input.stdout, "through\n");
    assert.equal(await ok("exec", id, "write", "/dev/stdout", "again"), "again");
    const terminal = daemon.terminal(["exec", "-it", id, "seq", "tty", "stat /dev/pts/0"]);
    await terminal.until(/uid=1000 gid=5/);
    assert.equal(await terminal.exitCode(), 0);
    const file = join(daemon.folder, "copied");
    await writeFile(file, "copied\n");
    await ok("cp", file, `${id}:/home/app/in`);
    assert.match(await ok("exec", id, "stat", "/home/app/in"), /uid=0 gid=0/);
    await ok("exec", id, "write", "/tmp/out", "mine");
    const archive = await daemon.dockerode.getContainer(id).getArchive({ path: "/tmp/out" });
    const owners: unknown[] = [];
    for await (const entry of archive.pipe(tar.extract())) {
      owners.push(entry.header.uid);
      entry.resume();
    }
    assert.deepEqual(owners, [1000]);
    await ok("stop", "-t", "0", id);
    await ok("cp", file, `${id}:/home/app/stopped`);
    await ok("start", id);
    assert.match(await ok("exec", id, "stat", "/home/app/stopped"), /uid=0 gid=0/);
    await ok("rm", "-f", id);
    await rm(file);
  });

  test("tmpfs, devices, a limited root, sysctls, limits and an init work in it", async () => {
    const text = await run(
      ...["--init", "--read-only", "--tmpfs", "/t:mode=755", "--storage-opt", "size=20m"],
      ...[
        "--sysctl",
        "net.ipv4.ip_unprivileged_port_start=77",
        "--memory",
        "40m",
        "--pids-limit",
        "40",
      ],
      ...["--device", "/dev/null:/dev/deep/null", "--hostname", "inside", IMAGE, "seq"],
      ...["write /t/f x", "stat /t /t/f /dev/deep /dev/deep/null", "hostname"],
      ...[
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range",
        "ps",
      ],
    );
    assert.equal(text.match(/ uid=0 gid=0 /g)?.length, 4, text);
    assert.match(text, /inside .*\n77\n0\t65535\n1 [RS] docker-init/);
    const outside = await refuse(...auto(), "--device", "/dev/null:/else/null", IMAGE);
    assert.match(outside, /devices of a container with a user namespace are beneath \/dev/);
  });

  test("an image is mounted with the container's ids, writable and not", async () => {
    const mount = ["--mount", `type=image,src=${IMAGE},dst=/i`];
    assert.match(await run(...mount, IMAGE, "stat", "/i/home/app"), /app .*uid=1000 gid=1000/);
    const Mounts = [
      { Type: "image", Source: IMAGE, Target: "/i", ImageOptions: { Writable: true } },
    ];
    const container = await daemon.dockerode.createContainer({
      ...{ Image: IMAGE, Cmd: ["seq", "write /i/etc/new x", "stat /i/etc/new"] },
      HostConfig: { NetworkMode: "none", UsernsMode: "auto", Mounts: Mounts as never },
    });
    const text = await daemon.ok("start", "-a", container.id);
    assert.match(text, /new .*uid=0 gid=0/);
    await container.remove();
  });

  test("a health check runs as its user, and top and stats know the processes", async () => {
    const container = await daemon.dockerode.createContainer({
      ...{ Image: IMAGE, Cmd: ["sleep"], User: "app" },
      Healthcheck: { Test: ["CMD", "/bin/id"], Interval: 50_000_000 },
      HostConfig: { NetworkMode: "none", UsernsMode: "auto" },
    });
    const { id } = container;
    const events = (await daemon.dockerode.getEvents({
      filters: { container: [id], event: ["health_status"] },
    })) as NodeJS.ReadableStream & { destroy(): void };
    await container.start();
    await new Promise((resolve) => events.once("data", resolve));
    events.destroy();
    const { State } = await container.inspect();
    assert.equal(State.Health?.Status, "healthy");
    assert.match(State.Health?.Log.at(-1)?.Output ?? "", /uid=1000/);
    assert.match(
      await ok("top", id, "-eo", "pid,uid"),
      new RegExp(`\\d+ +${(await first(id)) + 1000}`),
    );
    assert.match(await ok("stats", "--no-stream", id), /KiB|MiB/);
    await ok("pause", id);
    await ok("unpause", id);
    await ok("rm", "-f", id);
  });

  test("who joins another's network, processes or queues is in its user namespace", async () => {
    const donor = await ok("run", "-d", ...flags(), "--ipc", "shareable", IMAGE, "sleep");
    const join = (what: string) => ["--rm", `--${what}`, `container:${donor}`];
    const own = (await ok("exec", donor, "ns")).split("\n");
    for (const [what, kind] of [
      ["network", "net"],
      ["pid", "pid"],
      ["ipc", "ipc"],
    ] as const) {
      const seen = (await ok("run", ...join(what), IMAGE, "ns")).split("\n");
      for (const name of [kind, "user"]) {
        const line = own.find((one) => one.startsWith(`${name}:`))!;
        assert.ok(seen.includes(line), `${what}: ${name}`);
      }
    }
    await ok("exec", donor, "write", "/dev/shm/f", "shm");
    const ipc = ["run", ...join("ipc"), "--network", "none", IMAGE];
    assert.equal(await ok(...ipc, "seq", "append /dev/shm/f more", "cat /dev/shm/f"), "shm\nmore");
    const other = await refuse(...auto(), "--pid", `container:${donor}`, IMAGE);
    assert.match(other, /has another user namespace \(hint: use --userns=container:/);
    const plain = await ok("run", "-d", "--network", "none", IMAGE, "sleep");
    const wrong = await refuse(...auto(), "--pid", `container:${plain}`, IMAGE);
    assert.match(wrong, /has another user namespace \(hint: use --userns=host\)/);
    await ok("rm", "-f", donor, plain);
  });

  test("a user beyond the range, and what needs the host, is told of at once", async () => {
    assert.match(
      await refuse(...auto(":size=500"), "-u", "app", IMAGE),
      /user 1000 is not in the container's user namespace, which has 0 to 499: use --userns=auto:size=1001/,
    );
    assert.match(await refuse(...auto(), "--privileged", IMAGE), /privileged mode is incompatible/);
    const { stderr } = await daemon.client(["run", "--network", "host", ...auto(), IMAGE]);
    assert.match(stderr, /cannot share the host's network namespace when user namespaces are/);
    assert.match(await refuse(...auto(), "--pid", "host", IMAGE), /cannot share the host PID/);
    assert.match(
      await refuse(...auto(":size=x"), IMAGE),
      /invalid user namespace mode: auto:size=x/,
    );
  });

  test("ids that are mapped by hand are the host's", async () => {
    const source = join(daemon.folder, "by-hand");
    await writeFile(source, "seven\n", { mode: 0o600 });
    const { chown } = await import("node:fs/promises");
    await chown(source, 7007, 7007);
    const options = ":uidmapping=1000:7007:1,gidmapping=1000:7007:1";
    const user = ["-u", "app", "-v", `${source}:/f`, IMAGE, "seq", "stat /f", "cat /f"];
    const text = await ok("run", "--rm", ...flags(options), ...user);
    assert.match(text, /uid=1000 gid=1000.*\nseven/);
    assert.match(await refuse(...auto(":uidmapping=5:0:1"), IMAGE), /root of the host cannot be/);
    const theirs = `:uidmapping=5:${POOL.start + 3}:1`;
    assert.match(await refuse(...auto(theirs), IMAGE), /are ids of other containers/);
    await rm(source);
  });

  test("a mount that cannot be mapped is told of, and can go without", async () => {
    const folder = join(daemon.folder, "ov");
    const { mkdir } = await import("node:fs/promises");
    for (const name of ["l", "u", "w"]) await mkdir(join(folder, name), { recursive: true });
    const options = ["l:lowerdir", "u:upperdir", "w:workdir"].map((one) => {
      const [name, key] = one.split(":");
      return `${key}=${join(folder, name!)}`;
    });
    const make = ["--opt", "type=overlay", "--opt", "device=overlay", "--opt", `o=${options}`];
    await ok("volume", "create", ...make, "overlaid");
    const told = await refuse(...auto(), "-v", "overlaid:/v", IMAGE);
    assert.match(
      told,
      /cannot map the owner of the files of .*overlaid.*does not support id-mapped/,
    );
    assert.match(told, /idmap=none/);
    assert.match(await run("-v", "overlaid:/v:idmap=none", IMAGE, "stat", "/v"), /uid=65534/);
    await ok("volume", "rm", "overlaid");
  });

  test("a range is one container's until it is removed, through kill -9 and restarts", async () => {
    const make = () => ok("create", ...flags(), IMAGE, "sleep");
    const ids = [await make(), await make(), await make()];
    const runs = await ok("run", "-d", ...flags(), IMAGE, "sleep");
    const starts = await Promise.all([...ids, runs].map(first));
    assert.equal(new Set(starts).size, 4);
    const full = await refuse(...auto(), IMAGE);
    assert.match(
      full,
      /no 65536 uids in a row are free for a user namespace: the pool, 700000000:262144/,
    );
    assert.match(full, /4 containers have theirs of it; remove containers, ask for less/);
    await daemon.kill9();
    await daemon.start();
    assert.match(await refuse(...auto(), IMAGE), /no 65536 uids in a row/);
    assert.deepEqual(await Promise.all([...ids, runs].map(first)), starts);
    await ok("exec", runs, "stat", "/bin/payload");
    await ok("rm", "-f", ids[1]!);
    const again = await make();
    assert.equal(await first(again), starts[1]);
    await ok("start", again);
    assert.match(await ok("exec", again, "stat", "/bin/payload"), /uid=0/);
    await ok("rm", "-f", ids[0]!, ids[2]!, again, runs);
    // A create that fails keeps none.
    for (let i = 0; i < 5; i++) await refuse(...auto(), IMAGE, "no-such-program");
    assert.match(await run(IMAGE, "id"), /uid=0/);
    const left = await readdir(join(daemon.folder, "data/containers"));
    assert.deepEqual(left, []);
  });
});
