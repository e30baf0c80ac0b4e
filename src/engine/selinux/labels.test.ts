import assert from "node:assert/strict";
import { test } from "node:test";
import { freeLevel, NOBODYS_LEVEL } from "./categories.ts";
import { formatContext, parseContext, parseContexts, policyType } from "./contexts.ts";
import { containerLabels, impliedOptions, labelOptions, sharedLabel } from "./labels.ts";

const POLICY = {
  process: "system_u:system_r:container_t:s0",
  file: "system_u:object_r:container_file_t:s0",
};
const level = () => "s0:c1,c2";
const labelsOf = (...options: string[]) => containerLabels(options, POLICY, level);

test("a context is taken apart and put together again, with and without a level", () => {
  for (const text of ["u:r:t:s0:c1,c2", "u:r:t:s0-s0:c0.c1023", "u:r:t"]) {
    assert.equal(formatContext(parseContext(text)), text);
  }
  assert.equal(parseContext("u:r:t:s0:c1,c2").level, "s0:c1,c2");
  assert.throws(() => parseContext("container_t"), { kind: "invalid" });
});

test("the contexts of containers are read from the policy's file", () => {
  const text = [
    "# of containers",
    'process = "system_u:system_r:container_t:s0"',
    "; another comment",
    "file=system_u:object_r:container_file_t:s0",
    'ro_file = "system_u:object_r:container_ro_file_t:s0"',
  ].join("\n");
  assert.deepEqual(parseContexts(text), POLICY);
  assert.equal(parseContexts('process = "a:b:c"\n'), undefined);
  assert.equal(parseContexts(""), undefined);
});

test("the policy is the one that the host is set up with", () => {
  assert.equal(policyType("# SELINUXTYPE=no\nSELINUX=enforcing\nSELINUXTYPE=default\n"), "default");
  assert.equal(policyType(""), "targeted");
  assert.equal(policyType("SELINUXTYPE=../../x"), "..");
});

test("a container has the policy's types and a level of its own", () => {
  assert.deepEqual(labelsOf(), {
    process: "system_u:system_r:container_t:s0:c1,c2",
    mount: "system_u:object_r:container_file_t:s0:c1,c2",
  });
  const plain = { process: "u:r:t", file: "u:object_r:f" };
  assert.deepEqual(containerLabels([], plain, assert.fail), {
    process: "u:r:t",
    mount: plain.file,
  });
});

test("options change parts of it; user and level are the files' too", () => {
  assert.deepEqual(labelsOf("type:my_t", "role:my_r", "filetype:my_file_t", "user:my_u"), {
    process: "my_u:my_r:my_t:s0:c1,c2",
    mount: "my_u:object_r:my_file_t:s0:c1,c2",
  });
  const own = containerLabels(["level:s0:c5"], POLICY, assert.fail);
  assert.equal(own.process, "system_u:system_r:container_t:s0:c5");
  assert.equal(own.mount, "system_u:object_r:container_file_t:s0:c5");
});

test("without a label the files have one that is no container's", () => {
  const none = { process: "", mount: `system_u:object_r:container_file_t:${NOBODYS_LEVEL}` };
  assert.deepEqual(labelsOf("disable"), none);
  assert.deepEqual(labelsOf("type:x", "disable"), none);
});

test("other words are refused as dockerd refuses them", () => {
  assert.throws(() => labelsOf("nonsense"), {
    kind: "invalid",
    message:
      "bad label option \"nonsense\", valid options 'disable' or \n" +
      "'user, role, level, type, filetype' followed by ':' and a value",
  });
  assert.throws(() => labelsOf("nested:x"), {
    message: `bad label option "nested", valid options 'disable, user, role, level, type, filetype'`,
  });
  assert.throws(() => labelsOf("constructor:x"), /bad label option/);
});

test("options about labels are those of both spellings", () => {
  assert.deepEqual(
    labelOptions(["label=level:s0:c1", "label:disable", "disable", "seccomp=label=x", "labels=x"]),
    ["level:s0:c1", "disable", "disable"],
  );
});

test("the host's namespaces and privilege take the label away", () => {
  for (const host of [{ IpcMode: "host" }, { PidMode: "host" }, { Privileged: true }]) {
    assert.deepEqual(impliedOptions(host, assert.fail), ["disable"]);
  }
  assert.deepEqual(impliedOptions({ NetworkMode: "host" }, assert.fail), []);
});

test("who joins a container's processes or queues has its label", () => {
  const of: Record<string, string> = { a: "u:r:t:s0:c1,c2", b: "u:r:t:s0:c3,c4", free: "" };
  const find = (ref: string) => of[ref]!;
  const asA = ["user:u", "role:r", "type:t", "level:s0:c1,c2"];
  assert.deepEqual(impliedOptions({ IpcMode: "container:a" }, find), asA);
  assert.deepEqual(impliedOptions({ PidMode: "container:a", IpcMode: "container:a" }, find), asA);
  assert.deepEqual(impliedOptions({ PidMode: "container:free" }, find), []);
  assert.deepEqual(
    impliedOptions({ PidMode: "container:free", IpcMode: "container:a" }, find),
    asA,
  );
  assert.throws(() => impliedOptions({ PidMode: "container:a", IpcMode: "container:b" }, find), {
    kind: "invalid",
    message: "--ipc and --pid containers SELinux labels aren't the same",
  });
});

test("what containers share has no categories", () => {
  assert.equal(sharedLabel("u:object_r:f:s0:c1,c2"), "u:object_r:f:s0");
  assert.equal(sharedLabel("u:object_r:f"), "u:object_r:f");
});

test("a free pair of categories is found by chance, or the last one by looking", () => {
  assert.equal(
    freeLevel(new Set(), (below) => below - 3),
    "s0:c0,c1",
    "two that are the same are none",
  );
  const numbers = [9, 4, 4, 9, 1023, 1022, 7, 8];
  const random = () => numbers.shift()!;
  assert.equal(freeLevel(new Set(["s0:c4,c9"]), random), "s0:c7,c8");
  const all = new Set<string>();
  for (let low = 0; low < 1024; low++) {
    for (let high = low + 1; high < 1024; high++) all.add(`s0:c${low},c${high}`);
  }
  all.delete("s0:c1000,c1023");
  assert.equal(
    freeLevel(all, () => 0),
    "s0:c1000,c1023",
  );
  all.add("s0:c1000,c1023");
  assert.throws(() => freeLevel(all, () => 0), { kind: "exhausted" });
});
