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
