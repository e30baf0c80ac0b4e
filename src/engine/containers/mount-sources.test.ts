import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMountinfo } from "../../runtime/index.ts";
import { propagateFromRoot, touches } from "./daemon-root.ts";
import { mountOf, shiftOne } from "./mount-sources.ts";

const MOUNTS = parseMountinfo(`20 1 8:1 / / rw - ext4 /dev/vda rw
21 20 0:5 / /srv rw shared:7 - tmpfs none rw
22 20 0:6 / /srv/deep rw master:3 - tmpfs none rw
23 20 0:7 / /srv rw shared:9 - tmpfs none rw
`);

test("the mount of a path is the deepest that holds it, the last of those at one place", () => {
  assert.equal(mountOf(MOUNTS, "/srv/x")?.id, 23);
  assert.equal(mountOf(MOUNTS, "/srv/deep/x")?.id, 22);
  assert.equal(mountOf(MOUNTS, "/srvx")?.id, 20);
});

test("an id map moves one id, hides the one in its place and leaves all others", () => {
  const seen = (maps: ReturnType<typeof shiftOne>, id: number) => {
    const map = maps.find((m) => id >= m.containerID && id < m.containerID + m.size);
    return map && map.hostID + id - map.containerID;
  };
  for (const [disk, wanted] of [
    [1000, 0],
    [0, 33],
    [5, 6],
    [7, 7],
  ] as const) {
    const maps = shiftOne(disk, wanted);
    assert.equal(seen(maps, disk), wanted);
    assert.equal(seen(maps, 4_000_000_000), 4_000_000_000);
    assert.equal(seen(maps, 500), 500);
    if (disk !== wanted) assert.equal(seen(maps, wanted), undefined);
    // Nothing in the container is written as an id that it is not, but for the one.
    const outer = maps.flatMap((m) => (m.size === 1 ? [m.hostID] : []));
    assert.ok(outer.length <= 1 + maps.filter((m) => m.size === 1).length);
  }
});

test("a bind around the data root is a slave, and no other mode is let through", () => {
  const bind = { Type: "bind", Source: "/", Destination: "/h", Mode: "", RW: true } as const;
  const plain = { ...bind, Propagation: "rprivate" };
  assert.equal(propagateFromRoot(plain, "/var/lib/gantry").Propagation, "rslave");
  const asked = { ...plain, propagationAsked: true };
  assert.throws(() => propagateFromRoot(asked, "/var/lib/gantry"), {
    message: /must use either propagation mode "rslave" or "rshared" when mount source is within/,
  });
  assert.equal(
    propagateFromRoot({ ...plain, Source: "/srv" }, "/var/lib/gantry").Propagation,
    "rprivate",
  );
  assert.equal(touches("/var/lib/gantry-2", "/var/lib/gantry"), false);
  assert.equal(touches("/var/lib/gantry/volumes", "/var/lib/gantry"), true);
});
