import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMount, resolveMounts } from "./mounts.ts";

test("the keys of --mount, whatever their case; the rest is the daemon's to judge", () => {
  assert.deepEqual(parseMount("TYPE=Bind,Src=/a,DST=/b,Readonly,bind-recursive=writable"), {
    Type: "bind",
    Source: "/a",
    Target: "/b",
    ReadOnly: true,
    BindOptions: { ReadOnlyNonRecursive: true },
  });
  assert.deepEqual(parseMount("dst=/b,volume-idmap=user").VolumeOptions?.IdMap, "user");
  assert.deepEqual(parseMount("type=bind,src=/a,dst=/b,bind-idmap=1:2").BindOptions, {
    IdMap: "1:2",
  });
  assert.equal(
    parseMount("type=bind,src=/a,dst=/b,bind-nonrecursive").BindOptions?.NonRecursive,
    true,
  );
});

const refusals: [string, string][] = [
  ["", "EOF"],
  ["type=bind", "target is required"],
  ["type=,dst=/x", "type is required"],
  ["type=volume , dst=/x", "unexpected key ' dst' in ' dst=/x'"],
  ["dst=/x,foo", "invalid field 'foo' must be a key=value pair"],
  ["dst=/x,readonly=2", "invalid value for readonly: 2"],
  ["type=tmpfs,dst=/x,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"],
  ["type=tmpfs,dst=/x,tmpfs-mode=77777777777777", "invalid value for tmpfs-mode: 77777777777777"],
  ["type=tmpfs,dst=/x,volume-idmap=1", "cannot mix 'volume-*' options with mount type 'tmpfs'"],
  ["type=volume,dst=/x,image-subpath=a", "cannot mix 'image-*' options with mount type 'volume'"],
  [
    "type=bind,dst=/x,bind-recursive=foo",
    'invalid value for bind-recursive: foo (must be "enabled", "disabled", "writable", or "readonly")',
  ],
];
for (const [text, message] of refusals) {
  test(`--mount ${JSON.stringify(text)} is refused as docker refuses it`, () => {
    assert.throws(() => parseMount(text), { message });
  });
}

test("a source that begins with a dot is the caller's, but for an image's name", () => {
  const mounts = ["./a", "..", ".hidden", "/abs", "name"].map((Source) => ({
    Type: "bind" as const,
    Source,
    Target: "/x",
  }));
  assert.deepEqual(
    resolveMounts(mounts, "/home/me").map(({ Source }) => Source),
    ["/home/me/a", "/home", "/home/me/.hidden", "/abs", "name"],
  );
});
