import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { silentLogger } from "../../base/index.ts";
import type { AttachmentRecord, Reach } from "../../network/index.ts";
import type { EngineContext } from "../context.ts";
import { followLinks, openLinkedPorts } from "./link-ports.ts";
import { LiveContainers } from "./live.ts";
import type { ContainerRecord } from "./record.ts";

const BRIDGE = "b".repeat(64);
const at = (address: string): AttachmentRecord =>
  ({ networkId: BRIDGE, ipv4: { address } }) as AttachmentRecord;

/** A firewall that takes its time, and refuses as nftables does to remove what is not there. */
class Table {
  readonly rows = new Set<string>();

  async reach(record: AttachmentRecord, ports: readonly Reach[]): Promise<void> {
    const rowsOf = (list: readonly Reach[] = []) =>
      list.map(({ address, port }) => `${record.ipv4!.address} > ${address}:${port}`);
    const before = rowsOf(record.reaches?.ports);
    const after = rowsOf(ports);
    await nextTurn();
    const gone = before.filter((row) => !after.includes(row));
    if (gone.some((row) => !this.rows.has(row))) throw new Error("ENOENT");
    for (const row of gone) this.rows.delete(row);
    for (const row of after) this.rows.add(row);
    record.reaches = { bridge: "docker0", ports: [...ports] };
  }

  async detach(record: AttachmentRecord): Promise<void> {
    await this.reach(record, []);
  }
}

function stage(...containers: ContainerRecord[]) {
  const table = new Table();
  const byId = new Map(containers.map((c) => [c.id, c]));
  const network = {
    describe: () => [{ Name: "bridge", Id: BRIDGE }],
    reach: table.reach.bind(table),
  };
  const registry = { get: (id: string) => byId.get(id), all: () => byId.values(), putFact() {} };
  const parts = { network, containers: registry, live: new LiveContainers(), log: silentLogger };
  return { engine: parts as unknown as EngineContext, table };
}

function container(id: string, links: string[] = []): ContainerRecord {
  return {
    ...{ id, name: id, endpoints: { bridge: {} }, config: { ExposedPorts: { "80/tcp": {} } } },
    links: links.map((one) => ({ id: one, alias: one })),
  } as unknown as ContainerRecord;
}
const running = (c: ContainerRecord, ...attachments: AttachmentRecord[]): ContainerRecord =>
  Object.assign(c, { run: { attachments } });

test("what starts at once is all open to whoever links to it, and all closed with it", async () => {
  const [db, web] = [container("db"), container("web")];
  const own = at("10.0.0.9");
  const app = running(container("app", ["db", "web"]), own);
  const { engine, table } = stage(db, web, app);
  await Promise.all([
    openLinkedPorts(engine, db, [at("10.0.0.1")]),
    openLinkedPorts(engine, web, [at("10.0.0.2")]),
  ]);
  assert.deepEqual([...table.rows].sort(), ["10.0.0.9 > 10.0.0.1:80", "10.0.0.9 > 10.0.0.2:80"]);
  await Promise.all([openLinkedPorts(engine, db, []), openLinkedPorts(engine, web, [])]);
  assert.deepEqual([...table.rows], []);
});

test("nothing is opened for an endpoint that is on its way out", async () => {
  const db = container("db");
  const own = at("10.0.0.9");
  const app = running(container("app", ["db"]), own);
  const { engine, table } = stage(db, app);
  const opened = openLinkedPorts(engine, db, [at("10.0.0.1")]);
  const left = openLinkedPorts(engine, app, []).then(() => table.detach(own));
  await Promise.all([opened, left]);
  await openLinkedPorts(engine, db, [at("10.0.0.2")]);
  assert.deepEqual([...table.rows], []);
});

test("a link that moved while its container was starting leads to the new address only", async () => {
  const db = running(container("db"), at("10.0.0.1"));
  const own = at("10.0.0.9");
  const app = container("app", ["db"]);
  const { engine, table } = stage(db, app);
  await table.reach(own, [{ address: "10.0.0.1", protocol: "tcp", port: 80 }]);
  await openLinkedPorts(engine, app, [own]);
  await openLinkedPorts(engine, db, []);
  await openLinkedPorts(engine, db, [at("10.0.0.5")]);
  await followLinks(engine, running(app, own));
  assert.deepEqual([...table.rows], ["10.0.0.9 > 10.0.0.5:80"]);
});
