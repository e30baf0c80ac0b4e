// Completion as people have it: the shells that are installed, each with the script that we print,
// and docker's own script, which speaks the same protocol. The daemon is a fake one.

import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { main } from "../../src/cli/main.ts";
import { run, Session } from "../e2e/process.ts";
import { readRoutes } from "../support/docker-fixtures.ts";
import { dockerCli } from "../support/docker-plugins.ts";
import { type FakeApi, serveFakeApi } from "../support/fake-docker-api.ts";
import { memoryIo } from "../support/memory-io.ts";

const folder = mkdtempSync(join(tmpdir(), "gantry-completion-"));
const bin = join(folder, "bin");
const root = fileURLToPath(new URL("../..", import.meta.url));
const env = {
  HOME: folder,
  PATH: `${bin}:${process.env["PATH"]}`,
  DOCKER_HOST: `unix://${join(folder, "api.sock")}`,
  DOCKER_CONFIG: join(folder, "config"),
  TERM: "dumb",
};
let api: FakeApi;

before(async () => {
  api = await serveFakeApi(join(folder, "api.sock"), readRoutes);
  mkdirSync(bin);
  mkdirSync(join(folder, "place", "inner"), { recursive: true });
  writeFileSync(join(folder, "place", "image.tar"), "");
  const gantry = join(bin, "gantry");
  const node = `${process.execPath} --disable-warning=ExperimentalWarning`;
  writeFileSync(gantry, `#!/bin/sh\nexec ${node} ${join(root, "bin/gantry.ts")} "$@"\n`);
  chmodSync(gantry, 0o755);
});
after(async () => {
  await api.close();
  rmSync(folder, { recursive: true, force: true });
});

function whyNot(program: string): string | false {
  if (program.includes("/")) return existsSync(program) ? false : `${program} is not there`;
  const found = (process.env["PATH"] ?? "").split(":").some((at) => existsSync(join(at, program)));
  return found ? false : `${program} is not installed`;
}

async function candidates(...words: string[]): Promise<string[]> {
  const io = memoryIo(["__completeNoDesc", ...words], { env, cwd: join(folder, "place") });
  assert.equal(await main(io), 0);
  assert.match(io.stderrText(), /^Completion ended with directive: ShellCompDirective\w+/);
  return io.stdoutText().trimEnd().split("\n");
}

test("names are those of the daemon, by the state that fits the command", async () => {
  assert.deepEqual(await candidates("stop", ""), ["web", ":4"]);
  assert.deepEqual(await candidates("rm", "w"), [":4"]);
  assert.deepEqual(await candidates("rm", "-f", "w"), ["web", ":4"]);
  assert.deepEqual(await candidates("stop", "web", ""), [":4"]);
  const images = await candidates("run", "-it", "--name", "x", "");
  assert.ok(images.includes("alpine:3.20"), images.join());
  assert.deepEqual(await candidates("run", "alpine", ""), [":4"]);
});

test("commands, flags and their values are offered where they stand", async () => {
  assert.ok((await candidates("container", "")).includes("inspect"));
  assert.deepEqual(await candidates("contai"), ["container", ":4"]);
  assert.deepEqual(await candidates("run", "--restart", "un"), ["unless-stopped", ":4"]);
  assert.deepEqual(await candidates("run", "--restart=un"), ["unless-stopped", ":4"]);
  assert.deepEqual(await candidates("run", "--cap-a"), ["--cap-add", ":4"]);
  assert.deepEqual(await candidates("ps", "--filter", "status=ru"), ["status=running", ":6"]);
  const options = ["run", "--log-driver", "local", "--log-opt", "max-"];
  assert.deepEqual(await candidates(...options), [
    "max-buffer-size=",
    "max-file=",
    "max-size=",
    ":6",
  ]);
  assert.deepEqual(await candidates("load", "-i", ""), [":0"]);
  assert.deepEqual(await candidates("help", "netw"), ["network", ":4"]);
});

test("a daemon that does not answer offers nothing and spoils nothing", async () => {
  const lost = { ...env, DOCKER_HOST: `unix://${join(folder, "nobody.sock")}` };
  const io = memoryIo(["__complete", "stop", ""], { env: lost });
  assert.equal(await main(io), 0);
  assert.equal(io.stdoutText(), ":4\n");
});

test("a daemon's names bring nothing into a line that a shell would act on", async () => {
  const names = ["/web;reboot", "/$(reboot)", "/a b", "/a\n:0", "/a\x1b[2J", "/`id`", "/~x", "/ok"];
  const Status = "Up \x1b]0;title\x07";
  const list = names.map((name) => ({
    Id: "1",
    Names: [name],
    Image: "i",
    State: "running",
    Status,
  }));
  const server = createServer((_, response) => response.end(JSON.stringify(list)));
  const path = join(folder, "hostile.sock");
  server.listen(path);
  await once(server, "listening");
  try {
    const io = memoryIo(["__complete", "stop", ""], {
      env: { ...env, DOCKER_HOST: `unix://${path}` },
    });
    assert.equal(await main(io), 0);
    assert.equal(io.stdoutText(), "ok\ti, Up \ufffd]0;title\ufffd\n:4\n");
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

/** Types a line and a tab into a shell of its own: what a shell does with keys that come while it
 * still completes is its own affair. */
async function typed(start: () => Promise<Session>, line: string, expected: string): Promise<void> {
  const shell = await start();
  try {
    shell.text = "";
    shell.write(`${line}\t`);
    await shell.until(expected);
  } finally {
    shell.child.kill("SIGKILL");
  }
}

async function inBash(script: string): Promise<Session> {
  const shell = Session.terminal("bash", ["--norc", "--noprofile", "-i"], { env, columns: 200 });
  shell.write(`cd ${join(folder, "place")}; source ${script}; echo ready$((1+1))\r`);
  await shell.until("ready2");
  return shell;
}

async function inZsh(script: string): Promise<Session> {
  const shell = Session.terminal("zsh", ["-f", "-i"], { env, columns: 200 });
  const load = "autoload -Uz compinit; compinit -u -d $HOME/dump; bindkey '^I' complete-word";
  shell.write(`PS1='> '; unsetopt prompt_sp; ${load}\r`);
  shell.write(`cd ${join(folder, "place")}; source ${script}; echo ready$((1+1))\r`);
  await shell.until("ready2");
  return shell;
}

describe("bash", { skip: whyNot("bash") || whyNot("script") }, () => {
  test("completes what is typed into it, also behind : and =", async () => {
    const script = join(folder, "gantry.bash");
    writeFileSync(script, (await run("gantry", ["completion", "bash"], { env })).stdout);
    const shell = () => inBash(script);
    await typed(shell, "gantry contex", "gantry context ");
    await typed(shell, "gantry stop w", "gantry stop web ");
    await typed(shell, "gantry run alpine:3", "gantry run alpine:3.20 ");
    await typed(shell, "gantry run --restart=un", "--restart=unless-stopped ");
    await typed(shell, "gantry ps --filter=status=ru", "status=running");
    await typed(shell, "gantry load -i im", "gantry load -i image.tar ");
    await typed(shell, "gantry build in", "gantry build inner/");
    await typed(shell, "gantry --log-level de", "--log-level debug ");
  });

  test("runs nothing of what is typed", async () => {
    const script = join(folder, "gantry.bash");
    writeFileSync(script, (await run("gantry", ["completion", "bash"], { env })).stdout);
    const trap = join(folder, "trapped");
    await typed(() => inBash(script), `gantry stop "$(touch ${trap})" w`, "web ");
    assert.ok(!existsSync(trap));
  });

  test("docker's own script drives our protocol", { skip: whyNot(dockerCli()) }, async () => {
    const { stdout } = await run(dockerCli(), ["completion", "bash"], { env });
    const script = join(folder, "docker.bash");
    // It needs one function of the package bash-completion.
    const words =
      "_get_comp_words_by_ref() { cur=$2; words=(gantry stop w); cword=2; cur=w; prev=stop; }\n";
    writeFileSync(script, words + stdout.replaceAll("docker", "gantry"));
    const call = "COMP_TYPE=9; COMP_WORDS=(gantry stop w); COMP_CWORD=2; __start_gantry";
    const line = `source ${script}; ${call}; echo "<\${COMPREPLY[*]}>"`;
    const { stdout: shown } = await run("bash", ["--norc", "-c", line], { env });
    assert.match(shown, /<web>/);
  });
});

describe("zsh", { skip: whyNot("zsh") || whyNot("script") }, () => {
  test("completes what is typed into it", async () => {
    const script = join(folder, "_gantry");
    writeFileSync(script, (await run("gantry", ["completion", "zsh"], { env })).stdout);
    const shell = () => inZsh(script);
    await typed(shell, "gantry contex", "context");
    await typed(shell, "gantry stop w", "web");
    await typed(shell, "gantry run alpine:3", "3.20");
    await typed(shell, "gantry run --restart=un", "unless-stopped");
    await typed(shell, "gantry load -i im", "image.tar");
  });
});

describe("fish", { skip: whyNot("fish") }, () => {
  test("offers what may follow, with what it means", async () => {
    const script = join(folder, "gantry.fish");
    writeFileSync(script, (await run("gantry", ["completion", "fish"], { env })).stdout);
    const offered = async (line: string) => {
      const command = `cd ${join(folder, "place")}; source ${script}; complete -C '${line}'`;
      const { stdout, stderr } = await run("fish", ["--no-config", "-c", command], { env });
      assert.equal(stderr, "");
      return stdout.trimEnd().split("\n");
    };
    assert.deepEqual(await offered("gantry stop "), ["web\talpine:3.20, Up 2 hours"]);
    assert.deepEqual(await offered("gantry run --restart=un"), ["--restart=unless-stopped"]);
    assert.deepEqual(await offered("gantry load -i "), ["image.tar", "inner/"]);
    assert.deepEqual(await offered("gantry build "), ["inner/"]);
  });
});
