import assert from "node:assert/strict";
import { test } from "node:test";
import { checkName, randomName } from "./names.ts";
import type { ContainerRecord } from "./record.ts";
import { ContainerRegistry } from "./registry.ts";

const collection = () => {
  const map = new Map<string, ContainerRecord>();
  return {
    get: (key: string) => map.get(key),
    put: (key: string, value: ContainerRecord) => void map.set(key, value),
    putFact: (key: string, value: ContainerRecord) => void map.set(key, value),
    delete: (key: string) => void map.delete(key),
    all: () => [...map],
  };
};
const record = (id: string, name: string) => ({ id, name }) as ContainerRecord;

test("containers are found by id, by name with or without slash, and by prefix", () => {
  const registry = new ContainerRegistry(collection());
  registry.reserveName("web", "abc1");
  registry.put(record("abc1", "web"));
  for (const ref of ["abc1", "web", "/web", "ab"]) assert.equal(registry.find(ref).id, "abc1");
});

test("an ambiguous prefix is refused, and so is an unknown one", () => {
  const registry = new ContainerRegistry(collection());
  registry.put(record("abc1", "a"));
  registry.put(record("abc2", "b"));
  assert.throws(() => registry.find("abc"), { kind: "invalid" });
  assert.throws(() => registry.find("dead"), {
    kind: "not-found",
    message: "No such container: dead",
  });
});

test("a container in the making is found by nobody, though its name is taken", () => {
  const registry = new ContainerRegistry(collection());
  const c: ContainerRecord = { ...record("abc1", "web"), created: "", intent: "creating" };
  registry.reserveName("web", "abc1");
  registry.put(c);
  for (const ref of ["abc1", "web", "ab"]) {
    assert.throws(() => registry.find(ref), { kind: "not-found" });
  }
  assert.throws(() => registry.reserveName("web", "5678"), { kind: "conflict" });
  delete c.intent;
  for (const ref of ["abc1", "web", "ab"]) assert.equal(registry.find(ref), c);
});

test("a container that was removed stays gone, whoever writes its record late", () => {
  const records = collection();
  const registry = new ContainerRegistry(records);
  const c = record("abc1", "web");
  registry.put(c);
  registry.delete(c);
  registry.put(c);
  registry.putFact(c);
  assert.deepEqual(registry.all(), []);
  assert.deepEqual(records.all(), []);
});

test("a name in use is refused with docker's words", () => {
  const registry = new ContainerRegistry(collection());
  registry.reserveName("web", "1234");
  assert.throws(() => registry.reserveName("web", "5678"), {
    kind: "conflict",
    message:
      'Conflict. The container name "/web" is already in use by container "1234". You have to ' +
      "remove (or rename) that container to be able to reuse that name.",
  });
  registry.releaseName("web", "1234");
  registry.reserveName("web", "5678");
});

test("random names are valid and free", () => {
  const taken = new Set<string>();
  for (let n = 0; n < 200; n++) {
    const name = randomName((wanted) => !taken.has(wanted));
    assert.match(name, /^[a-z]+_[a-z]+\d*$/);
    assert.equal(taken.has(name), false);
    taken.add(name);
  }
});

test("names that docker refuses are refused", () => {
  for (const name of ["", "a", "-ab", "a b", "a/b"]) {
    assert.throws(() => checkName(name), { kind: "invalid" });
  }
  assert.equal(checkName("/web.1_a-b"), "web.1_a-b");
});
