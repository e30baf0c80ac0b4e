import assert from "node:assert/strict";
import { test } from "node:test";
import { formatOperation } from "./format.ts";
import { Recorder } from "./recorder.ts";

test("a plan reads as one operation a line, absent fields left out", async () => {
  const recorder = new Recorder();
  await recorder.run({
    host: [
      { op: "mkdir", path: "/with space", mode: 0o755, existOk: true },
      { op: "write", path: "/x", data: new TextEncoder().encode("1\n") },
    ],
    teardown: [{ op: "rmdir", path: "/with space" }],
  });
  assert.equal(
    recorder.text,
    [
      "# run",
      "host:",
      '  mkdir path="/with space" mode=0o755 existOk=true',
      '  write path=/x data="1\\n"',
      "teardown:",
      '  rmdir path="/with space"',
      "",
    ].join("\n"),
  );
});

test("binary, lists and patches are readable and bounded", () => {
  const filter = new Uint8Array(100);
  assert.match(formatOperation({ op: "seccomp", filter }), /^seccomp filter=<0{96}… 100 bytes>$/);
  assert.equal(
    formatOperation({ op: "execve", argv: ["sh", "-c", "a b"], env: [] }),
    'execve argv=[sh -c "a b"] env=[]',
  );
  const patches = [{ offset: 4, slot: 2, width: 4 }] as const;
  const data = new Uint8Array([255]);
  assert.equal(
    formatOperation({ op: "netlink", protocol: 0, data, patches }),
    "netlink protocol=0 data=<ff 1 bytes> patches=[@4:4=slot2]",
  );
});

test("a recorder fails and reports as it is told", async () => {
  const recorder = new Recorder();
  recorder.failAt(1, 0, "ENOSPC");
  recorder.report(() => new Map([[0, new Uint8Array([5, 0, 0, 0, 0, 0, 0, 0])]]));
  const plan = { host: [{ op: "report", slot: 1 } as const] };
  assert.deepEqual((await recorder.run(plan)).ints(0), [5n]);
  const failed = await recorder.run(plan).catch((e) => e);
  assert.deepEqual([failed.detail.errno, failed.detail.operation], ["ENOSPC", plan.host[0]]);
  const error = await recorder.run({ host: [{ op: "close", slot: 99 }] }).catch((e) => e);
  assert.equal(error.kind, "invalid");
});
