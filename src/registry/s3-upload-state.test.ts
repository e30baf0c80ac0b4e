import assert from "node:assert/strict";
import { test } from "node:test";
import type { ListedObject } from "./s3-listing.ts";
import { beginKey, multipartKey, pieceKey, readFolder, stateOf } from "./s3-upload-state.ts";

const folder = "uploads/u/";
const object = (key: string, size = 0): ListedObject => ({
  key,
  size,
  etag: "e",
  modifiedAt: new Date(1_000),
});
const stateFrom = (objects: ListedObject[], etags: string[]) => {
  const found = readFolder(folder, objects);
  assert.ok(found.partBytes !== undefined);
  const known = { ...found, partBytes: found.partBytes };
  const multipart = found.multiparts[0];
  return stateOf(known, { etags, modifiedAt: new Date(0), ...(multipart && { multipart }) });
};

test("the size of an upload is its parts and the pieces that follow them", () => {
  const state = stateFrom(
    [
      object(beginKey(folder, 100)),
      object(multipartKey(folder, "id/with+any=sign")),
      object(pieceKey(folder, 200, "a"), 30),
      object(pieceKey(folder, 230, "b"), 5),
    ],
    ["1", "2"],
  );
  assert.equal(state.size, 235);
  assert.equal(state.multipart?.id, "id/with+any=sign");
});

test("what a broken append left behind counts nothing", () => {
  const state = stateFrom(
    [
      object(beginKey(folder, 100)),
      object(pieceKey(folder, 0, "absorbed"), 60), // now within the first part
      object(pieceKey(folder, 100, "a"), 10),
      object(pieceKey(folder, 100, "b"), 99), // two at one place: the first by name
      object(pieceKey(folder, 120, "c"), 10), // a gap before it
      object(pieceKey(folder, 110, "d"), 0),
    ],
    ["1"],
  );
  assert.equal(state.size, 110);
  assert.deepEqual(
    state.pieces.map(({ key }) => key.at(-1)),
    ["a"],
  );
});

test("a folder without a beginning is no upload, and finished data counts alone", () => {
  assert.equal(readFolder(folder, [object(`${folder}hold`)]).partBytes, undefined);
  const state = stateFrom([object(beginKey(folder, 100)), object(`${folder}data`, 77)], []);
  assert.equal(state.size, 77);
});

test("the name that holds a multipart upload's id stays short enough for every server", () => {
  // SeaweedFS, AWS, MinIO (base64 of three numbers), a server of long and odd ones
  for (const id of [
    "a1".repeat(20),
    "x.Y_-".repeat(26),
    "MzE0".repeat(31),
    `${"/+".repeat(70)}=`,
  ]) {
    const key = multipartKey(folder, id);
    assert.match(key, /^uploads\/u\/[^/]{1,255}$/);
    assert.deepEqual(readFolder(folder, [object(key)]).multiparts, [{ id, marker: key }]);
  }
});
