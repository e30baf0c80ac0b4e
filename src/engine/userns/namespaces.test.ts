import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../../base/index.ts";
import type { HostConfig } from "../../spec/index.ts";
import { UserNamespaces, type UsernsRecord } from "./namespaces.ts";

const POOL = { uid: [{ start: 1000, size: 300 }], gid: [{ start: 5000, size: 300 }], source: "x" };
const REMAP = {
  user: "ann",
  maps: {
    uid: [{ containerID: 0, hostID: 1100, size: 50 }],
    gid: [{ containerID: 0, hostID: 7000, size: 50 }],
  },
};

/** Containers by name, as an engine would remember them. */
class Records {
  readonly byId = new Map<string, { id: string; userns?: UsernsRecord }>();
  all() {
    return this.byId.values();
  }
  find(ref: string) {
    const found = this.byId.get(ref);
    if (!found) throw new GantryError("not-found", `No such container: ${ref}`);
    return found;
  }
  make(users: UserNamespaces, id: string, host: HostConfig): UsernsRecord | undefined {
    const userns = users.assign(host, this);
    this.byId.set(id, { id, ...(userns && { userns }) });
    return userns;
  }
}

const auto = (size: number): HostConfig => ({ UsernsMode: `auto:size=${size}` });

test("ranges are the containers' until they are gone, and never two have the same", () => {
  const users = new UserNamespaces(undefined, POOL, "");
  const records = new Records();
  assert.deepEqual(records.make(users, "a", auto(100))?.uid, [
    { containerID: 0, hostID: 1000, size: 100 },
  ]);
  assert.deepEqual(records.make(users, "b", auto(100))?.gid, [
    { containerID: 0, hostID: 5100, size: 100 },
  ]);
  records.make(users, "c", auto(100));
  assert.throws(() => records.make(users, "d", auto(1)), {
    kind: "exhausted",
    message: /no 1 uids in a row are free.*userns-pool/,
  });
  records.byId.delete("b");
  assert.equal(records.make(users, "d", auto(60))?.uid[0]?.hostID, 1100);
  assert.equal(records.make(users, "e", auto(40))?.uid[0]?.hostID, 1160);
  // As after a crash: only the records are left.
  const reborn = new UserNamespaces(undefined, POOL, "");
  assert.throws(() => records.make(reborn, "f", auto(1)), { kind: "exhausted" });
});

test("a step of a build holds its range in memory", () => {
  const users = new UserNamespaces(undefined, POOL, "auto:size=200");
  const records = new Records();
  const step = users.hold("step", {}, records);
  assert.equal(step.userns?.uid[0]?.size, 200);
  assert.throws(() => records.make(users, "a", {}), { kind: "exhausted" });
  step.release();
  assert.equal(records.make(users, "a", {})?.uid[0]?.hostID, 1000);
});

test("the daemon's range is everybody's, and none of the pool", () => {
  const users = new UserNamespaces(REMAP, POOL, "");
  const records = new Records();
  assert.equal(users.isDefault, true);
  assert.deepEqual(records.make(users, "a", {}), REMAP.maps);
  assert.deepEqual(records.make(users, "b", { UsernsMode: "private" }), REMAP.maps);
  assert.equal(records.make(users, "c", { UsernsMode: "host" }), undefined);
  assert.equal(records.make(users, "d", auto(100))?.uid[0]?.hostID, 1000);
  assert.equal(records.make(users, "e", auto(100))?.uid[0]?.hostID, 1150);
});

test("without a range of the daemon's, only who asks is in a namespace", () => {
  const users = new UserNamespaces(undefined, POOL, "");
  assert.equal(users.isDefault, false);
  const records = new Records();
  assert.equal(records.make(users, "a", {}), undefined);
  assert.throws(() => new UserNamespaces(undefined, POOL, "container:x"), /default-userns-mode/);
  assert.equal(new UserNamespaces(REMAP, POOL, "host").isDefault, false);
});

test("what dockerd refuses of remapped containers is refused in its words", () => {
  const users = new UserNamespaces(REMAP, POOL, "");
  const records = new Records();
  const refused: [HostConfig, RegExp][] = [
    [{ Privileged: true }, /^privileged mode is incompatible with user namespaces\. {2}You must/],
    [{ NetworkMode: "host" }, /^cannot share the host's network namespace when user namespaces/],
    [{ PidMode: "host" }, /^cannot share the host PID namespace when user namespaces are enabled$/],
  ];
  for (const [host, message] of refused) {
    assert.throws(() => users.isWanted(host, records), { kind: "invalid", message });
    assert.equal(users.isWanted({ ...host, UsernsMode: "host" }, records), false);
  }
});

test("who joins a namespace of another container is in its user namespace", () => {
  const users = new UserNamespaces(undefined, POOL, "");
  const records = new Records();
  const donor = records.make(users, "donor", auto(10));
  records.make(users, "plain", {});
  const joined = { ...donor!, joins: "donor" };
  assert.deepEqual(records.make(users, "b", { NetworkMode: "container:donor" }), joined);
  assert.deepEqual(records.make(users, "c", { UsernsMode: "container:b" }), joined);
  assert.deepEqual(
    records.make(users, "d", { PidMode: "container:c", IpcMode: "container:b" }),
    joined,
  );
  assert.equal(records.make(users, "e", { IpcMode: "container:plain" }), undefined);
  const host: HostConfig = { UsernsMode: "host", NetworkMode: "container:plain" };
  assert.equal(records.make(users, "f", host), undefined);
  for (const [wrong, hint] of [
    [{ UsernsMode: "auto:size=10", NetworkMode: "container:donor" }, /--userns=container:donor/],
    [{ UsernsMode: "auto:size=10", NetworkMode: "container:plain" }, /--userns=host/],
    [{ UsernsMode: "container:plain" }, /has no user namespace/],
    [{ NetworkMode: "container:donor", IpcMode: "container:plain" }, /--userns=host/],
  ] as const) {
    assert.throws(() => users.assign(wrong, records), { kind: "invalid", message: hint });
  }
});

test("a range is taken while anybody is in it, also after its first owner is gone", () => {
  const users = new UserNamespaces(undefined, POOL, "");
  const records = new Records();
  records.make(users, "donor", auto(300));
  records.make(users, "guest", { UsernsMode: "container:donor" });
  records.byId.delete("donor");
  assert.throws(() => records.make(users, "next", auto(1)), { kind: "exhausted" });
  records.byId.delete("guest");
  assert.equal(records.make(users, "next", auto(300))?.uid[0]?.hostID, 1000);
});

test("ids that are mapped by hand are nobody else's", () => {
  const users = new UserNamespaces(REMAP, POOL, "");
  const records = new Records();
  const ask = (mapping: string) => users.assign({ UsernsMode: `auto:size=10,${mapping}` }, records);
  assert.deepEqual(ask("uidmapping=1:500:1")?.uid, [
    { containerID: 0, hostID: 1000, size: 1 },
    { containerID: 1, hostID: 500, size: 1 },
    { containerID: 2, hostID: 1001, size: 8 },
  ]);
  for (const theirs of ["uidmapping=1:1299:1", "uidmapping=1:990:20", "gidmapping=1:7010:1"]) {
    assert.throws(() => ask(theirs), /are ids of other containers/, theirs);
  }
});
