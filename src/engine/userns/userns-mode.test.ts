import assert from "node:assert/strict";
import { test } from "node:test";
import { parseUsernsMode } from "./userns-mode.ts";

test("the modes of docker, and podman's with their options", () => {
  assert.deepEqual(parseUsernsMode(""), { kind: "default" });
  assert.deepEqual(parseUsernsMode("host"), { kind: "host" });
  assert.deepEqual(parseUsernsMode("private"), { kind: "private" });
  assert.deepEqual(parseUsernsMode("container:web"), { kind: "container", ref: "web" });
  assert.deepEqual(parseUsernsMode("auto"), { kind: "auto", size: 65_536, uid: [], gid: [] });
  assert.deepEqual(
    parseUsernsMode("auto:size=9000,uidmapping=1000:5000:2,uidmapping=7:8,gidmapping=0:44"),
    {
      kind: "auto",
      size: 9000,
      uid: [
        { containerID: 1000, hostID: 5000, size: 2 },
        { containerID: 7, hostID: 8, size: 1 },
      ],
      gid: [{ containerID: 0, hostID: 44, size: 1 }],
    },
  );
});

test("what means nothing is refused, and so is the host's root", () => {
  const refused: [string, RegExp][] = [
    ["nosuch", /^invalid user namespace mode: nosuch$/],
    ["container:", /invalid user namespace mode/],
    ["auto:", /invalid user namespace mode/],
    ["autos", /invalid user namespace mode/],
    ["host:x", /invalid user namespace mode/],
    ["auto:size=", /size must be/],
    ["auto:size=0", /size must be/],
    ["auto:size=-1", /size must be/],
    ["auto:size=4294967296", /size must be/],
    ["auto:size=1e3", /size must be/],
    ["auto:colour=red", /unknown option "colour"/],
    ["auto:uidmapping=1", /is not CONTAINER_ID:HOST_ID:SIZE/],
    ["auto:uidmapping=1:2:0", /is not CONTAINER_ID/],
    ["auto:uidmapping=1:2:3:4", /is not CONTAINER_ID/],
    ["auto:uidmapping=1:4294967290:100", /is not CONTAINER_ID/],
    ["auto:uidmapping=@1:2", /is not CONTAINER_ID/],
    ["auto:gidmapping=5:0:1", /root of the host/],
    ["auto:uidmapping=1:10:5,uidmapping=3:100:1", /mapped twice/],
    ["auto:uidmapping=1:10:5,uidmapping=9:14:1", /mapped twice/],
    [`auto:${Array.from({ length: 65 }, (_, i) => `uidmapping=${i}:${i + 1}`)}`, /more than 64/],
  ];
  for (const [text, message] of refused) {
    assert.throws(() => parseUsernsMode(text), { kind: "invalid", message }, text);
  }
});
