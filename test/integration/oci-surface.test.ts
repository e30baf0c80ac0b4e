// The surface of gantry-runtime that other programs parse: help, version, logs, exit codes, lists,
// features and the template of a configuration; beside runc's where runc is installed.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { OciFixture } from "../support/oci-fixture.ts";
import { proves } from "../support/proves.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";
const run = promisify(execFile);
interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

describe("what others read of gantry-runtime", { skip }, () => {
  let oci: OciFixture;
  let runc = false;
  before(async () => {
    oci = await OciFixture.make();
    runc = await run("runc", ["--version"]).then(
      () => true,
      () => false,
    );
  });
  after(() => oci[Symbol.asyncDispose]());

  async function runcSays(...args: string[]): Promise<Answer> {
    return await run("runc", ["--root", oci.path("runc-state"), ...args]).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: Answer) => error,
    );
  }
  const message = (stderr: string) => /level=error msg=(.*)\n/.exec(stderr)?.[1];

  test(`version lines are name and version, then key: value ${proves("runc-cmd", "(global) --version")}`, async () => {
    for (const flag of ["--version", "-v"]) {
      const [first, ...rest] = (await oci.ok(flag)).trim().split("\n");
      const manifest = new URL("../../package.json", import.meta.url);
      const { version } = JSON.parse(await readFile(manifest, "utf8"));
      assert.equal(first, `gantry-runtime version ${version}`);
      assert.ok(rest.includes("spec: 1.3.0"));
      for (const line of rest) assert.match(line, /^[a-z]+: \S+$/);
    }
  });

  test(`help names every command and every flag ${proves("runc-cmd", "help", "(global) --help")}`, async () => {
    const all = await oci.ok("--help");
    assert.equal(await oci.ok("help"), all);
    const section = all.slice(all.indexOf("COMMANDS:"), all.indexOf("GLOBAL OPTIONS:"));
    const names = [...section.matchAll(/^ {3}(\w+) /gm)].map(([, name]) => name!);
    assert.ok(names.length >= 15, section);
    for (const name of names) {
      const text = await oci.ok(name, "--help");
      assert.match(text, new RegExp(`^NAME:\n   gantry-runtime ${name} - `));
      assert.equal(await oci.ok("help", name), text);
    }
  });

  test(`commands and flags that do not exist are told of as runc tells them ${proves("runc-cmd", "(global)")}`, async () => {
    for (const args of [
      ["bogus"],
      ["--bogus"],
      ["create", "--bogus", "x"],
      ["create"],
      ["kill"],
      ["start", "a", "b"],
      ["update", "--pids-limit"],
      ["state", "nope"],
      ["exec", "nope", "true"],
      ["delete", "nope"],
      ["delete", "--force", "nope"],
      ["list", "--format", "bogus"],
      ["--log-format", "bogus", "list"],
      ["--log", "/nonexistent/log", "list"],
      ["events", "nope"],
      ["events", "--interval", "x", "nope"],
    ]) {
      const ours = await oci.call(...args);
      assert.match(ours.stderr, args.includes("--force") ? /^$/ : /level=error msg=/);
      if (!runc) continue;
      const theirs = await runcSays(...args);
      assert.equal(ours.code, theirs.code, args.join(" "));
      const said = message(theirs.stderr)?.replaceAll(/^"runc: /g, '"gantry-runtime: ');
      assert.equal(message(ours.stderr), said?.replace(/\\n"$/, '"'), args.join(" "));
      const isUsage = (text: string) => /^Incorrect Usage[.:]/.test(text);
      assert.equal(isUsage(ours.stdout), isUsage(theirs.stdout), args.join(" "));
    }
  });

  test(`the log is text or JSON, on standard error or in a file, and debug says what is done ${proves("runc-cmd", "(global) --debug", "(global) --log", "(global) --log-format", "(global) --root")}`, async () => {
    const path = oci.path("log");
    const json = ["--log", path, "--log-format", "json"];
    const failed = await oci.call(...json, "state", "nope");
    assert.deepEqual([failed.code, failed.stderr], [1, "container does not exist\n"]);
    const entry = JSON.parse(await readFile(path, "utf8"));
    assert.deepEqual([entry.level, entry.msg], ["error", "container does not exist"]);
    assert.match(entry.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const { id, bundle } = await oci.bundle(["true"]);
    await oci.ok("--debug", ...json, "run", "-b", bundle, id);
    const lines = (await readFile(path, "utf8")).trim().split("\n").slice(1);
    const messages = lines.map((line) => JSON.parse(line));
    assert.ok(messages.every(({ level }) => level === "debug"));
    assert.ok(messages.some(({ msg }) => msg === `command: run -b ${bundle} ${id}`));
    assert.ok(messages.some(({ msg }) => /^process \d+ waits to be started$/.test(msg)));
    const { stderr } = await oci.call("--debug", "list");
    assert.match(stderr, /^time="[^"]+Z" level=debug msg="command: list"\n$/);
  });

  test(`what is not supported is refused, not passed over ${proves("runc-cmd", "(global) --rootless")}`, async () => {
    const rootless = await oci.call("--rootless=true", "list");
    assert.match(rootless.stderr, /--rootless=true is not supported/);
    assert.match((await oci.call("--rootless", "maybe", "list")).stderr, /invalid value/);
    for (const value of ["false", "auto"]) await oci.ok("--rootless", value, "list");
  });

  test(`list has runc's columns, and a JSON of states ${proves("runc-cmd", "list", "list --format", "list --quiet", "ps", "ps --format")}`, async () => {
    assert.equal(await oci.ok("list", "-f", "json"), "null\n");
    const { id, bundle } = await oci.bundle(["sleep"], (spec) => {
      spec.annotations = { key: "value" };
    });
    await oci.detached("run", "-d", "-b", bundle, id);
    const { pid } = await oci.state(id);
    const [head, row] = (await oci.ok("list")).split("\n");
    assert.deepEqual(head!.split(/\s+/), ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert.deepEqual(row!.split(/\s+/).slice(0, 4), [id, String(pid), "running", bundle]);
    const [entry] = JSON.parse(await oci.ok("list", "--format", "json"));
    assert.deepEqual([entry.id, entry.pid, entry.annotations], [id, pid, { key: "value" }]);
    assert.equal(await oci.ok("list", "--quiet"), `${id}\n`);
    assert.match(await oci.ok("ps", id), new RegExp(`^UID\\s+PID.*\\n\\S+\\s+${pid} `));
    assert.equal(await oci.ok("ps", "--format", "json", id), `[${pid}]\n`);
    await oci.ok("delete", "--force", id);
  });

  test(`spec writes a configuration that runs, here and with runc ${proves("runc-cmd", "spec", "spec --bundle", "spec --rootless")}`, async () => {
    for (const flags of [[], ["--rootless"]]) {
      const bundle = oci.path(`template${flags.length}`);
      await mkdir(bundle);
      await oci.ok("spec", ...flags, "--bundle", bundle);
      const again = await oci.call("spec", "-b", bundle);
      assert.match(again.stderr, /File config.json exists. Remove it first/);
      const path = join(bundle, "config.json");
      const config = JSON.parse(await readFile(path, "utf8"));
      assert.deepEqual(config.process.args, ["sh"]);
      config.process.args = ["/bin/id"];
      config.process.terminal = false;
      config.root.path = oci.rootfs;
      await writeFile(path, JSON.stringify(config));
      assert.match(await oci.ok("run", "-b", bundle, `spec${process.pid}`), /0/);
      if (!runc || flags.length > 0) continue;
      const theirs = await runcSays("run", "-b", bundle, `runc-${process.pid}`);
      assert.equal(theirs.code, 0, theirs.stderr);
      // What a checker of runc's own template would look for is in ours.
      const folder = oci.path("runc-template");
      await mkdir(folder);
      await run("runc", ["spec", "-b", folder]);
      const own = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
      assert.deepEqual(Object.keys(config).sort(), Object.keys(own).sort());
      assert.deepEqual(config.mounts, own.mounts);
      assert.deepEqual(config.linux.resources, own.linux.resources);
      assert.deepEqual(config.process.rlimits, own.process.rlimits);
    }
  });

  test(`features are those that containers here really have ${proves("runc-cmd", "features")} ${proves("operation", "features")} ${proves("features", "ociVersionMin", "ociVersionMax", "hooks", "mountOptions")}`, async () => {
    const features = JSON.parse(await oci.ok("features"));
    assert.deepEqual([features.ociVersionMin, features.ociVersionMax], ["1.0.0", "1.3.0"]);
    const { linux } = features;
    const actions = await readFile("/proc/sys/kernel/seccomp/actions_avail", "utf8");
    assert.equal(linux.seccomp.actions.includes("SCMP_ACT_NOTIFY"), actions.includes("user_notif"));
    const last = Number(await readFile("/proc/sys/kernel/cap_last_cap", "utf8"));
    assert.equal(linux.capabilities.length, last + 1);
    const { id, bundle } = await oci.bundle(["ns"], (spec) => {
      const types: string[] = linux.namespaces;
      spec.linux!.namespaces = types.filter((type) => type !== "user").map((type) => ({ type }));
    });
    const inside = await oci.ok("run", "-b", bundle, id);
    const { stdout: outside } = await run("readlink", ["/proc/self/ns/time"]);
    assert.ok(!inside.includes(outside.trim()));
    if (!runc) return;
    const theirs = JSON.parse((await runcSays("features")).stdout);
    assert.deepEqual(features.hooks, theirs.hooks);
    const lacking = (mine: string[], other: string[]) => other.filter((one) => !mine.includes(one));
    const known = ["acl", "noacl"]; // words that only file systems know
    assert.deepEqual(
      lacking(features.mountOptions, theirs.mountOptions).filter((one) => !known.includes(one)),
      [],
    );
    assert.deepEqual(lacking(linux.seccomp.archs, theirs.linux.seccomp.archs), []);
    assert.deepEqual(lacking(linux.seccomp.operators, theirs.linux.seccomp.operators), []);
    assert.deepEqual(lacking(linux.capabilities, theirs.linux.capabilities), []);
  });

  test("a bundle may lie behind links, and an id may not leave the state folder", async () => {
    const { id, bundle } = await oci.bundle(["true"]);
    const link = oci.path("linked");
    await symlink(bundle, link);
    await chmod(bundle, 0o700);
    await oci.ok("run", "--bundle", link, id);
    for (const bad of ["../x", "a/b", "..", ".", ""]) {
      const { code, stderr } = await oci.call("create", "-b", bundle, bad);
      assert.equal(code, 1);
      assert.match(stderr, /invalid container ID format/);
    }
  });
});
