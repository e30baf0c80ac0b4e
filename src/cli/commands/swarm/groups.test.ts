import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlags } from "../../../base/index.ts";
import type { Command } from "../../command.ts";
import { swarmGroups } from "./groups.ts";

const groups = swarmGroups();
const load = async (group: string, verb: string): Promise<Command> =>
  (await groups[group]!.commands[verb]!.load()) as Command;

test("every command of the table has a text, and every flag has one", async () => {
  const silent: string[] = [];
  let count = 0;
  for (const [name, group] of Object.entries(groups)) {
    for (const verb of Object.keys(group.commands)) {
      const { short, flags } = await load(name, verb);
      count++;
      assert.notEqual(short, "", `${name} ${verb}`);
      for (const [flag, { usage }] of Object.entries(flags)) {
        if (!usage) silent.push(`${name} ${verb} --${flag}`);
      }
    }
  }
  assert.deepEqual(silent, []);
  assert.equal(count, 38);
});

test("flags are read as docker reads them", async () => {
  const create = await load("service", "create");
  const argv = ["--replicas", "3", "-e", "A=1", "--mount", "type=bind", "web:1", "-e", "B=2"];
  const { values, args } = parseFlags(create.flags, argv, { interspersed: false });
  assert.equal(values["replicas"], 3);
  assert.deepEqual(values["env"], ["A=1"]);
  assert.deepEqual(values["mount"], ["type=bind"]);
  assert.deepEqual(args, ["web:1", "-e", "B=2"]);
  assert.equal(create.stopAtArgument, true);
  const scale = ["--replicas", "many", "x"];
  assert.throws(
    () => parseFlags(create.flags, scale),
    /invalid argument "many" for "--replicas" flag: strconv.ParseUint/,
  );
});

test("defaults are values of the flag's kind", async () => {
  const { flags } = await load("swarm", "init");
  const { values } = parseFlags(flags, []);
  assert.equal(values["cert-expiry"], 2160 * 3600 * 1e9);
  assert.equal(values["snapshot-interval"], 10_000);
  assert.equal(values["listen-addr"], "0.0.0.0:2377");
  assert.equal(values["autolock"], false);
});

test("numbers of arguments and other spellings are docker's", async () => {
  assert.deepEqual((await load("secret", "create")).args, { min: 1, max: 2 });
  assert.deepEqual((await load("node", "ps")).args, { min: 0 });
  assert.deepEqual((await load("config", "ls")).args, { min: 0, max: 0 });
  assert.deepEqual(groups["stack"]!.aliases, {
    up: "deploy",
    list: "ls",
    remove: "rm",
    down: "rm",
  });
});
