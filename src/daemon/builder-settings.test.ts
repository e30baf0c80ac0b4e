import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBuilder } from "./builder-settings.ts";

test("what the builder may take is read from daemon.json", () => {
  assert.equal(parseBuilder(undefined), undefined);
  const builder = parseBuilder({
    gc: {
      enabled: true,
      defaultKeepStorage: "20GB",
      defaultMinFreeSpace: "5%",
      policy: [
        { filter: ["unused-for=48h", "type==source.local"], keepStorage: "10gb", all: true },
        { keepDuration: "1h30m", maxUsedSpace: 1000 },
      ],
    },
    entitlements: { "network-host": true },
    cacheMountMaxSize: "2g",
  });
  assert.deepEqual(builder?.gc.reserved, { bytes: 20 * 2 ** 30 });
  assert.deepEqual(builder?.gc.maxUsed, { share: 0.75 });
  assert.deepEqual(builder?.gc.minFree, { share: 0.05 });
  const [first, second] = builder!.gc.policy!;
  assert.deepEqual(
    [...first!.filters],
    [
      ["unused-for", ["48h"]],
      ["type", ["source.local"]],
    ],
  );
  assert.deepEqual([first!.all, first!.reserved], [true, { bytes: 10 * 2 ** 30 }]);
  assert.deepEqual([second!.keepMs, second!.maxUsed], [5_400_000, { bytes: 1000 }]);
  assert.deepEqual(builder?.entitlements, ["network.host", "device"]);
  assert.equal(builder?.cacheMountBytesMax, 2 * 2 ** 30);
});

for (const [value, message] of [
  [[], "invalid builder: it must be an object"],
  [{ gcc: {} }, "invalid builder: unknown key gcc"],
  [{ gc: { enabled: "yes" } }, "invalid builder.gc.enabled: it must be true or false"],
  [{ gc: { defaultMaxUsedSpace: "x" } }, 'invalid builder.gc.defaultMaxUsedSpace: "x" is no size'],
  [
    { gc: { defaultKeepStorage: "1", defaultReservedSpace: "1" } },
    "invalid builder.gc: defaultKeepStorage is another name of defaultReservedSpace: one of them",
  ],
  [
    { gc: { policy: [{ filter: ["colour=blue"] }] } },
    'invalid builder.gc.policy[0].filter: "colour=blue" is no filter',
  ],
  [{ gc: { policy: [{ keepDuration: "long" }] } }, /keepDuration: "long" is no duration/],
  [{ entitlements: { network: true } }, "invalid builder.entitlements: unknown key network"],
  [{ history: {} }, /builder.history: it is not supported/],
] as [unknown, string | RegExp][]) {
  test(`a builder of ${JSON.stringify(value)} is refused`, () => {
    assert.throws(() => parseBuilder(value), { message });
  });
}
