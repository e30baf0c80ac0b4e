import assert from "node:assert/strict";
import { test } from "node:test";
import { addMount, fromMountRequest, parseBind, parseVolumesFrom } from "./mount-points.ts";

test("a bind with a path is a bind mount, one with a name is a volume", () => {
  const bind = parseBind("/srv/data:/data:ro,rslave");
  assert.deepEqual(
    [bind.Type, bind.Source, bind.Destination, bind.RW, bind.Propagation],
    ["bind", "/srv/data", "/data", false, "rslave"],
  );
  const volume = parseBind("cache:/var/cache");
  assert.deepEqual(
    [volume.Type, volume.Name, volume.Mode, volume.RW, volume.copyUp],
    ["volume", "cache", "z", true, true],
  );
});

test("a bind of only a destination is an anonymous volume", () => {
  const volume = parseBind("/data");
  assert.deepEqual([volume.Type, volume.Name, volume.anonymous], ["volume", "", true]);
});

for (const spec of ["", "a:b:c:d", ":/x", "/a:/b:xx", "/a:/b:ro,rw", "/a:b", "/a:/", "na me:/b"]) {
  test(`the bind ${JSON.stringify(spec)} is refused`, () => {
    assert.throws(() => parseBind(spec), { kind: "invalid" });
  });
}

test("--mount refuses a missing bind source with docker's words", () => {
  assert.throws(() => fromMountRequest({ Type: "bind", Source: "/no", Target: "/x" }, false), {
    message: 'invalid mount config for type "bind": bind source path does not exist: /no',
  });
});

test("two mounts at one place are refused", () => {
  const mounts = new Map([["/x", parseBind("/a:/x")]]);
  assert.throws(() => addMount(mounts, parseBind("/b:/x"), {}), {
    message: "Duplicate mount point: /x",
  });
  assert.throws(() => addMount(new Map(), parseBind("/b:/t"), { Tmpfs: { "/t": "" } }), {
    message: "Duplicate mount point: /t",
  });
});

test("volumes-from takes a mode", () => {
  assert.deepEqual(parseVolumesFrom("web:ro"), { ref: "web", rw: false });
  assert.deepEqual(parseVolumesFrom("web"), { ref: "web", rw: true });
  assert.deepEqual(parseVolumesFrom("web:z,ro"), { ref: "web", rw: false });
  for (const mode of ["foo", "nocopy", "shared", "ro,rw", "idmap"]) {
    const message = `invalid mode: ${mode}`;
    assert.throws(() => parseVolumesFrom(`web:${mode}`), { kind: "invalid", message });
  }
  assert.throws(() => parseVolumesFrom(":"), { message: 'invalid name or ID supplied: ""' });
});

test("idmap says whose the files are, of binds and of volumes", () => {
  assert.equal(parseBind("/srv:/d:idmap").idmap, "");
  assert.equal(parseBind("/srv:/d:ro,idmap=33:34").idmap, "33:34");
  assert.equal(parseBind("/srv:/d:idmap=33.34,ro").idmap, "33:34");
  assert.equal(parseBind("cache:/d:idmap=33").idmap, "33");
  assert.equal(parseBind("/srv:/d").idmap, undefined);
  for (const spec of ["/a:/b:idmap=x", "/a:/b:idmap=1:2:3", "/a:/b:idmap=4294967295"]) {
    assert.throws(() => parseBind(spec), { kind: "invalid" }, spec);
  }
  const request = { Type: "bind", Source: "/srv", Target: "/d" } as const;
  assert.equal(fromMountRequest({ ...request, BindOptions: { IdMap: "user" } }, true).idmap, "");
  assert.throws(() => fromMountRequest({ ...request, BindOptions: { IdMap: "me" } }, true), {
    message:
      'invalid mount config for type "bind": invalid idmap "me": must be UID[:GID], "user" or "none"',
  });
});

test("what belongs to another type of mount is refused", () => {
  const cases = [
    [{ Type: "volume", Target: "/d", ReadOnly: true }, "must not set ReadOnly mode when using"],
    [
      { Type: "volume", Target: "/d", VolumeOptions: { Subpath: "a" } },
      "must not set Subpath when",
    ],
    [{ Type: "volume", Source: "vv", Target: "/d", BindOptions: {} }, "field BindOptions must not"],
    [{ Type: "tmpfs", Source: "x", Target: "/d" }, "field Source must not be specified"],
    [
      { Type: "tmpfs", Target: "/d", TmpfsOptions: { Options: [["suid"]] } },
      "invalid option: suid",
    ],
    [
      { Type: "tmpfs", Target: "/d", TmpfsOptions: { Options: [[]] } },
      "invalid option array length",
    ],
    [{ Type: "image", Target: "/d" }, "field Source must not be empty"],
    [
      { Type: "image", Source: "a", Target: "/d", VolumeOptions: {} },
      "field VolumeOptions must not",
    ],
    [{ Type: "npipe", Source: "a", Target: "/d" }, "mount type unknown"],
    [{ Type: "cluster", Source: "a", Target: "/d" }, "mount type unknown"],
  ] as const;
  for (const [mount, why] of cases) {
    assert.throws(
      () => fromMountRequest(mount as never, true),
      (error: Error) => error.message.includes(why),
      JSON.stringify(mount),
    );
  }
});

for (const path of ["/etc", "..", "../x", "a/../../x"]) {
  test(`the subpath ${path} is refused: it is not within the volume`, () => {
    const mount = { Type: "volume", Source: "vv", Target: "/d", VolumeOptions: { Subpath: path } };
    assert.throws(() => fromMountRequest(mount as never, true), {
      message:
        'invalid mount config for type "volume": subpath must be a relative path within the volume',
    });
  });
}
