// Steps of builds as people and strangers write them: what the client lends them (secrets, an ssh
// agent), what they may only do when it was allowed, and what they must not be able to do: to hang
// a build, to outlive it, or to leave anything behind.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createHash, generateKeyPairSync, verify } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { pack } from "../payload/payload.ts";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";
import type { Result, Session } from "./process.ts";

const SECRET = "correct-horse-battery-staple";
const run = promisify(execFile);

describe("the steps of a build", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  let context: string;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
    context = join(daemon.folder, "context");
    await mkdir(context);
  });
  after(() => daemon.stop());

  function args(...more: string[]): string[] {
    return ["build", "--network", "none", "--progress", "plain", ...more, context];
  }
  async function build(dockerfile: string, ...more: string[]): Promise<Result> {
    await writeFile(join(context, "Dockerfile"), dockerfile);
    return await daemon.client(args(...more), { env: { LENT: "lent by the client" } });
  }
  async function built(dockerfile: string, ...more: string[]): Promise<string> {
    const { code, stdout, stderr } = await build(dockerfile, ...more);
    assert.equal(code, 0, stderr + stdout);
    return stderr + stdout;
  }
  async function refused(dockerfile: string, ...more: string[]): Promise<string> {
    const { code, stdout, stderr } = await build(dockerfile, ...more);
    assert.notEqual(code, 0, stderr + stdout);
    return stderr + stdout;
  }
  async function started(dockerfile: string, word: RegExp): Promise<Session> {
    await writeFile(join(context, "Dockerfile"), dockerfile);
    const session = daemon.session(...args("--no-cache"));
    await session.until(word);
    return session;
  }
  /** Nothing of a step is there: no container, no socket of a monitor, no secret. */
  async function nothingLeft(): Promise<void> {
    const folders = ["data/builds", "data/containers", "exec/m", "exec/b"];
    for (;;) {
      const lists = folders.map((name) => readdir(join(daemon.folder, name)).catch(() => []));
      if ((await Promise.all(lists)).flat().length === 0) return;
      await delay(20);
    }
  }

  test("a secret is a file or a variable for its step, and nowhere afterwards", async () => {
    const path = join(daemon.folder, "secret");
    await writeFile(path, SECRET);
    const text = [
      "FROM payload",
      'RUN --mount=type=secret,id=s ["/bin/cat", "/run/secrets/s"]',
      'RUN --mount=type=secret,id=s ["/bin/stat", "/run/secrets/s"]',
      'RUN --mount=type=secret,id=s,target=/d/x,mode=0440,uid=5,gid=6 ["/bin/stat", "/d/x"]',
      'RUN --mount=type=secret,id=s,env=TOKEN ["/bin/env"]',
      'RUN --mount=type=secret,id=s ["/bin/append", "/run/secrets/s", "x"]',
    ];
    const failed = await refused(text.join("\n"), "--secret", `id=s,src=${path}`);
    assert.match(failed, /Read-only file system/);
    const output = await built(
      text.slice(0, -1).join("\n"),
      "--secret",
      `id=s,src=${path}`,
      ...["--no-cache", "-t", "s"],
    );
    assert.match(output, new RegExp(SECRET));
    assert.match(output, /\/run\/secrets\/s mode=100400 uid=0 gid=0/);
    assert.match(output, /\/d\/x mode=100440 uid=5 gid=6/);
    assert.match(output, new RegExp(`TOKEN=${SECRET}`));
    assert.equal(
      await daemon.ok("run", "--rm", "--network", "none", "s", "/bin/ls", "/"),
      await daemon.ok("run", "--rm", "--network", "none", "payload", "/bin/ls", "/"),
    );
    await nothingLeft();
    // Not in a layer, a record, the cache or the history either.
    const places = ["data", "exec"].map((name) => join(daemon.folder, name));
    const found = await run("grep", ["-rlaF", "--exclude=daemon.log", SECRET, ...places]).then(
      ({ stdout }) => stdout,
      (error: { code: number }) => (error.code === 1 ? "" : Promise.reject(error)),
    );
    // What a step says is kept with its build's history, whatever it says.
    const logs = (file: string) => !/build-logs|history|\.db/.test(file);
    assert.deepEqual(
      found.split("\n").filter((file) => file !== "" && logs(file)),
      [],
    );
  });

  test("another value of a secret runs nothing again", async () => {
    const path = join(daemon.folder, "changing");
    const text = 'FROM payload\nRUN --mount=type=secret,id=c ["/bin/cat", "/run/secrets/c"]\n';
    await writeFile(path, "one");
    await built(text, "--secret", `id=c,src=${path}`);
    await writeFile(path, "two");
    assert.match(await built(text, "--secret", `id=c,src=${path}`), /CACHED/);
  });

  test("a secret that is missing is an error only where it is required", async () => {
    const step = (more: string) =>
      `FROM payload\nRUN --mount=type=secret,id=no${more} ["/bin/env"]\n`;
    assert.match(await refused(step(",required")), /secret no: not found/);
    assert.match(await built(step(",env=EMPTY")), /EMPTY=\n/);
    await built(step(""));
  });

  test("an ssh agent is forwarded for its step, over as many connections as it makes", async () => {
    const socket = join(daemon.folder, "agent.sock");
    const agent = await listingAgent(socket);
    const asks = (path: string, ...messages: string[]) => `unix ${path} hex:${messages.join("")}`;
    const place = "/run/buildkit/ssh_agent.0";
    const [list, empty] = ["000000010b", "00000001130000000113"];
    try {
      const steps = [asks(place, list, list), asks(place, empty, list), "env", `stat ${place}`];
      const text = [
        "FROM payload",
        `RUN --mount=type=ssh ["/bin/seq", ${steps.map((step) => JSON.stringify(step)).join(", ")}]`,
        `RUN --mount=type=ssh,target=/a,mode=0666,uid=7 ["/bin/seq", "${asks("/a", list)}", "stat /a"]`,
      ].join("\n");
      const output = await built(text, "--ssh", `default=${socket}`, "-t", "ssh");
      assert.equal(output.match(/000000050c00000000/g)?.length, 4, output);
      assert.equal(output.match(/00000001050000000105/g)?.length, 1, "keys stay with their agent");
      assert.equal(agent.refused, 0, "nor is it asked to remove them");
      assert.match(output, /SSH_AUTH_SOCK=\/run\/buildkit\/ssh_agent\.0/);
      assert.match(output, /ssh_agent\.0 mode=140600 uid=0/);
      assert.match(output, /\/a mode=140666 uid=7/);
      await nothingLeft();
    } finally {
      agent.close();
    }
    const needs = 'FROM payload\nRUN --mount=type=ssh,required ["/bin/true"]\n';
    assert.match(await refused(needs), /no SSH key "default" forwarded from the client/);
  });

  test("a folder that hands its group on does so for what WORKDIR and COPY make in it", async () => {
    const tar = await pack([{ type: "directory", name: "sg", mode: 0o2777, uid: 5, gid: 6 }]);
    await writeFile(join(context, "sg.tar"), tar);
    const copies = ["COPY sg.tar /sg/c/x", "COPY --chown=1:2 sg.tar /sg/d/"];
    const text = ["FROM payload", "ADD sg.tar /", "WORKDIR /sg/a/b", ...copies];
    const asks = ["a/b", "c", "c/x", "d"].map((path) => `"stat /sg/${path}"`).join(", ");
    const output = await built([...text, `RUN ["/bin/seq", ${asks}]`].join("\n"), "--no-cache");
    assert.match(output, /\/sg\/a\/b mode=42755 uid=0 gid=6/);
    assert.match(output, /\/sg\/c mode=42755 uid=0 gid=6/);
    assert.match(output, /\/sg\/c\/x mode=100644 uid=0 gid=0/);
    assert.match(output, /\/sg\/d mode=42755 uid=1 gid=2/);
  });

  test("of several files that become one the last is left, and the step says so", async () => {
    for (const name of ["one.f", "two.f"]) await writeFile(join(context, name), name);
    await mkdir(join(context, "folder.f"), { recursive: true });
    await writeFile(join(context, "folder.f/in"), "in");
    const file = ["FROM payload", "COPY one.f two.f /x", "COPY <<a <<b /y", "first", "a", "last"];
    const also = [
      "b",
      "COPY folder.f one.f /z",
      'RUN ["/bin/cat", "/x", "/y", "/z/in", "/z/one.f"]',
    ];
    const output = await built([...file, ...also].join("\n"), "--no-cache");
    assert.match(output, /\/x is two\.f alone, of 2 files/);
    for (const text of [/ two\.flast$/m, / inone\.f$/m]) assert.match(output, text);
    assert.match(await refused("FROM payload\nCOPY one.f folder.f /x\n"), /not a directory/);
  });

  test("a folder that was made only to mount on leaves nothing in its layer", async () => {
    const mount = "--mount=type=tmpfs,target=/m/n/o/p";
    const runs = ['RUN ["/bin/env"]', `RUN ${mount} ["/bin/env"]`];
    await built(["FROM payload", "WORKDIR /m/n", ...runs].join("\n"), "-t", "points:1");
    const layers = await daemon.ok("image", "inspect", "-f", "{{json .RootFS.Layers}}", "points:1");
    const [plain, mounted] = (JSON.parse(layers) as string[]).slice(-2);
    assert.equal(mounted, plain);
  });

  test("private key files are an agent's keys, and a signature of each is verified", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const path = join(daemon.folder, "key");
    await writeFile(path, privateKey.export({ format: "pem", type: "pkcs8" }));
    const point = Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url");
    const string = (...parts: (string | Buffer)[]): Buffer => {
      const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
      const length = Buffer.alloc(4);
      length.writeUInt32BE(body.length);
      return Buffer.concat([length, body]);
    };
    const blob = Buffer.concat([string("ssh-ed25519"), string(point)]);
    const data = Buffer.from("what is signed");
    const request = string(Buffer.of(13), string(blob), string(data), Buffer.alloc(4));
    const sends = `unix /run/buildkit/ssh_agent.0 hex:${request.toString("hex")}`;
    const text = `FROM payload\nRUN --mount=type=ssh,required ["/bin/seq", "${sends}"]\n`;
    const output = await built(text, "--no-cache", "--ssh", `default=${path}`);
    const answer = Buffer.from(/answer ([0-9a-f]+)/.exec(output)![1]!, "hex");
    assert.equal(answer[4], 14);
    assert.ok(verify(null, data, publicKey, answer.subarray(-64)));
  });

  test("the host's network and steps without confinement have to be allowed", async () => {
    const host = 'FROM payload\nRUN --network=host ["/bin/ns"]\n';
    assert.match(await refused(host), /network\.host is not allowed/);
    await built(host, "--allow", "network.host");
    assert.match(await refused(host), /network\.host is not allowed/, "cached or not");
    const insecure =
      'FROM payload\nRUN --security=insecure ["/bin/seq", "status CapEff Seccomp:", "mount tmpfs /tmp"]\n';
    assert.match(await refused(insecure), /security\.insecure is not allowed/);
    const output = await built(insecure, "--allow", "security.insecure");
    assert.match(output, /Seccomp:\s*0/);
    assert.match(output, /tmpfs\n/);
    const plain = await built('FROM payload\nRUN --security=sandbox ["/bin/status", "Seccomp:"]\n');
    assert.match(plain, /Seccomp:\s*2/);
    const device = "FROM payload\nRUN --device=vendor.example/gpu=all x\n";
    assert.match(await refused(device), /--device is not supported: there are no CDI devices/);
  });

  test("hosts, limits, shared memory and the folder of control groups reach every step", async () => {
    const text = [
      "FROM payload",
      'RUN ["/bin/cat", "/etc/hosts"]',
      'RUN ["/bin/limits"]',
      'RUN ["/bin/cat", "/proc/self/mounts"]',
      'RUN ["/bin/hostname"]',
    ].join("\n");
    const given = ["--add-host", "friend:10.9.8.7", "--ulimit", "nofile=55:66", "--shm-size", "3m"];
    const output = await built(text, ...given, "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=box");
    assert.match(output, /10\.9\.8\.7\tfriend/);
    assert.match(output, /nofile=55:66/);
    assert.match(output, /\/dev\/shm tmpfs [^\n]*size=3072k/);
    assert.match(output, /^#\d+ [\d.]+ box /m);
  });

  test("what a step leaves running ends with it; what it does to itself is its failure", async () => {
    const trouble = (...words: string[]) => `RUN ${JSON.stringify(["/bin/trouble", ...words])}`;
    const fine = [trouble("orphan"), trouble("init"), trouble("mute"), 'RUN ["/bin/cat", "/mute"]'];
    const output = await built(["FROM payload", ...fine].join("\n"));
    for (const word of ["left one", "still here", "done"]) assert.ok(output.includes(word), word);
    assert.match(await refused(`FROM payload\n${trouble("crash")}`), /exit code: 1(?:32|39)/);
    await nothingLeft();
  });

  test("endless lines, bytes that are no text and floods of output stop no build", async () => {
    const text = [
      "FROM payload",
      'RUN ["/bin/trouble", "binary"]',
      'RUN ["/bin/trouble", "line", "3000000"]',
      'RUN ["/bin/spam", "30000000"]',
      'RUN ["/bin/echo", "after the flood"]',
    ].join("\n");
    assert.match(await built(text), /after the flood/);
  });

  test("a build that is cancelled ends steps that ignore signals or fork without end", async () => {
    const deaf = await started('FROM payload\nRUN ["/bin/stubborn"]\n', / stubborn\n/);
    deaf.child.kill("SIGINT");
    assert.notEqual(await deaf.exitCode(), 0);
    await nothingLeft();
    // A user of its own, whose processes a limit counts.
    await writeFile(
      join(context, "Dockerfile"),
      ["FROM payload", "USER 47111", 'RUN ["/bin/trouble", "forks"]'].join("\n"),
    );
    const forks = daemon.session(...args("--no-cache", "--ulimit", "nproc=64:64"));
    await forks.until("forking");
    forks.child.kill("SIGINT");
    assert.notEqual(await forks.exitCode(), 0);
    await nothingLeft();
  });

  test("a daemon that is killed in a step with a secret leaves none of it", async () => {
    const path = join(daemon.folder, "secret");
    await writeFile(path, SECRET);
    await writeFile(
      join(context, "Dockerfile"),
      'FROM payload\nRUN --mount=type=secret,id=s ["/bin/stubborn"]\n',
    );
    const session = daemon.session(...args("--secret", `id=s,src=${path}`));
    await session.until(/ stubborn\n/);
    assert.equal((await readdir(join(daemon.folder, "exec/b"))).length, 1);
    await daemon.restart("SIGKILL");
    await session.exitCode();
    await nothingLeft();
  });

  test("files that links lead outside are not found, in the context and in a stage", async () => {
    const outside = join(daemon.folder, "outside");
    await writeFile(outside, "not for images");
    const text = [
      "FROM payload AS evil",
      `RUN ["/bin/symlink", "/../../../../..${outside}", "/l"]`,
      `RUN ["/bin/symlink", "/", "/root-of"]`,
      "FROM scratch",
      "COPY --from=evil /l /x",
    ].join("\n");
    assert.match(await refused(text), /not found|no such file/);
    const whole = text.replace("/l /x", `/root-of${outside} /x`);
    assert.match(await refused(whole), /not found|no such file/);
  });

  test("ADD of a URL: its time, its mode, its digest, and what the client lends for its host", async () => {
    const server = await startServer(daemon);
    try {
      const at = (path: string) => `http://${server.host}${path}`;
      const digest = createHash("sha256").update("a file\n").digest("hex");
      const output = await built(
        [
          "FROM payload",
          `ADD ${at("/dated.txt")} /d/`,
          `ADD --checksum=sha256:${digest} --chmod=644 --chown=5:6 ${at("/plain")} /named`,
          `ADD ${at("/moved")} /followed`,
          `ADD ${at("/a.tar")} /kept/`,
          `ADD --unpack ${at("/a.tar")} /unpacked/`,
          `ADD ${at("/lent")} /lent`,
          'RUN ["/bin/stat", "/d/dated.txt", "/named", "/followed", "/kept/a.tar"]',
          'RUN ["/bin/cat", "/unpacked/inside", "/lent"]',
        ].join("\n"),
        ...["--no-cache", "--secret", `id=HTTP_AUTH_TOKEN_${server.host},env=LENT`],
      );
      assert.match(output, /\/d\/dated\.txt mode=100600 uid=0 gid=0 size=7/);
      assert.match(output, /\/named mode=100644 uid=5 gid=6 size=7/);
      assert.match(output, /\/followed mode=100600/);
      assert.match(output, /in the archive/);
      assert.match(output, /Bearer lent by the client/);
      const wrong = `ADD --checksum=sha256:${"0".repeat(64)} ${at("/plain")} /x`;
      assert.match(await refused(`FROM payload\n${wrong}`), /digest mismatch sha256:/);
      const missing = await refused(`FROM payload\nADD ${at("/none")} /x`);
      assert.match(missing, /status 404/);
      assert.match(
        await refused(`FROM payload\nADD ${at("/cut")} /x`),
        /terminated|closed|aborted/,
      );
    } finally {
      server.stop();
    }
  });

  test("nothing of all this is left on the machine", async () => {
    await nothingLeft();
    const log = await readFile(join(daemon.folder, "daemon.log"), "utf8");
    assert.doesNotMatch(log, new RegExp(SECRET));
    await rm(context, { recursive: true });
  });
});

/** An agent that says back what it is told. */
/** Says that it has no keys, and counts what else it is asked. */
async function listingAgent(path: string): Promise<{ refused: number; close(): void }> {
  const counted = { refused: 0, close: () => void server.close() };
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      const lists = chunk.toString("hex") === "000000010b";
      if (!lists) counted.refused++;
      socket.write(Buffer.from(lists ? "000000050c00000000" : "0000000105", "hex"));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return counted;
}

/** A web server on the daemon's side of the network. */
async function startServer(daemon: TestDaemon): Promise<{ host: string; stop(): void }> {
  const tar = await pack([{ type: "file", name: "inside", content: "in the archive\n" }]);
  const program = `
    const answers = {
      "/dated.txt": (r) => r.setHeader("Last-Modified", "Sat, 03 Feb 2001 04:05:06 GMT").end("a file\\n"),
      "/plain": (r) => r.end("a file\\n"),
      "/moved": (r) => r.writeHead(302, { location: "/plain" }).end(),
      "/a.tar": (r) => r.end(Buffer.from("${tar.toString("base64")}", "base64")),
      "/lent": (r, q) => r.end(String(q.headers.authorization)),
      "/cut": (r) => { r.writeHead(200, { "content-length": 100 }); r.write("x", () => r.destroy()); },
    };
    require("node:http").createServer((q, r) => {
      const answer = answers[q.url];
      if (answer) answer(r, q); else r.writeHead(404).end();
    }).listen(0, "127.0.0.1", function () { console.log(this.address().port); });
    process.stdin.on("end", () => process.exit()).resume();`;
  const args = ["-t", String(daemon.holderPid), "-n", process.execPath, "-e", program];
  const child = spawn("nsenter", args, { stdio: ["pipe", "pipe", "inherit"] });
  const [port] = (await once(child.stdout, "data")) as [Buffer];
  return { host: `127.0.0.1:${port.toString().trim()}`, stop: () => child.stdin.end() };
}
