import assert from "node:assert/strict";
import { test } from "node:test";
import type { Native } from "../native/index.ts";
import { forgetConnections } from "./connections.ts";
import type { AttachmentRecord } from "./contract.ts";
import { dumpMessages, NetlinkWriter, readMessages } from "./netlink-message.ts";

const CT_NEW = 0x100;
const CT_GET = 0x101;
const CT_DELETE = 0x102;
const OURS = Buffer.from([172, 17, 0, 2]);
const OTHER = Buffer.from([172, 17, 0, 3]);
const endpoint = { ipv4: { address: "172.17.0.2", prefix: 16 } } as AttachmentRecord;

/** A connection that `source` answers, as the kernel lists it. */
function connection(w: NetlinkWriter, source: Uint8Array, id: number, zone?: number): void {
  const tuple = (from: Uint8Array, to: Uint8Array) => () =>
    w
      .nest(1, () => w.attrBytes(1, from).attrBytes(2, to))
      .nest(2, () => w.attrU8(1, 17).attrBytes(2, Buffer.from([23, 112])));
  const client = Buffer.from([192, 0, 2, 9]);
  w.message(CT_NEW, 2, () => {
    w.u8(2).u8(0).u16be(0);
    w.nest(1, tuple(client, Buffer.from([192, 0, 2, 1]))).nest(2, tuple(source, client));
    w.attrU32be(12, id);
    if (zone !== undefined) w.attribute(18, () => w.u16be(zone));
  });
}

/** A kernel that refuses what `refuses` says, and lists `listing`. */
function kernel(refuses: (message: number) => boolean, listing: Uint8Array) {
  const asked: Uint8Array[] = [];
  const run = async ({ host }: Parameters<Native["run"]>[0]) => {
    const [operation] = host;
    assert.ok(operation?.op === "netlink");
    asked.push(operation.data);
    if (refuses(asked.length)) throw new Error("EINVAL");
    return { has: () => listing.length > 0, bytes: () => listing };
  };
  return { asked, native: { run } as unknown as Native };
}

const types = (data: Uint8Array): number[] => readMessages(data).map(({ type }) => type);

test("a kernel that deletes by a filter is asked once", async () => {
  const { asked, native } = kernel(() => false, new Uint8Array());
  await forgetConnections(native, endpoint);
  assert.deepEqual(
    asked.map((data) => dumpMessages({ data, patches: [] })),
    [
      "38000000 02010500 01000000 00000000 02000000 10000280 0c000180 08000100 ac110002 " +
        "14001980 08000100 00000000 08000200 01000000",
    ],
  );
});

test("a kernel that only lists by a filter is asked to delete what it has listed, one by one", async () => {
  const w = new NetlinkWriter();
  connection(w, OURS, 7);
  connection(w, OTHER, 8); // a kernel may list more than was asked for
  connection(w, OURS, 9, 5);
  const { asked, native } = kernel((count) => count === 1, w.finish().data);
  await forgetConnections(native, endpoint);
  assert.deepEqual(asked.map(types), [[CT_DELETE], [CT_GET], [CT_DELETE, CT_DELETE]]);
  const lines = dumpMessages({ data: asked[2]!, patches: [] }).split("\n");
  assert.match(lines[0]!, / 08000c00 00000007$/);
  assert.match(lines[1]!, / 08000c00 00000009 06001200 00050000$/);
});

test("a kernel that can do neither lets the connections of every address expire", async () => {
  const { asked, native } = kernel(() => true, new Uint8Array());
  const ipv6 = { address: "fd00::2", prefix: 64 };
  await forgetConnections(native, { ...endpoint, ipv6 } as AttachmentRecord);
  assert.deepEqual(asked.map(types), [[CT_DELETE], [CT_GET], [CT_DELETE], [CT_GET]]);
});
