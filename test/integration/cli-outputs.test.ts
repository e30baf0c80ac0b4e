// What our commands print, byte for byte, against what the stock client printed over the same
// answers (test/golden/record.ts). Differences that are meant are listed.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, mock, test } from "node:test";
import { main } from "../../src/cli/main.ts";
import { readRoutes } from "../support/docker-fixtures.ts";
import { type FakeApi, serveFakeApi } from "../support/fake-docker-api.ts";
import { memoryIo } from "../support/memory-io.ts";

process.env["TZ"] = "UTC";

interface Recorded {
  args: string[];
  code: number;
  stdout: string;
  stderr: string;
}
const [{ recordedAt }, ...cases] = JSON.parse(
  readFileSync(new URL("../golden/outputs.json", import.meta.url), "utf8"),
) as [{ recordedAt: number }, ...Recorded[]];

const folder = mkdtempSync(join(tmpdir(), "gantry-cli-"));
const socket = join(folder, "api.sock");
let api: FakeApi;
before(async () => {
  api = await serveFakeApi(socket, readRoutes);
  mock.timers.enable({ apis: ["Date"], now: recordedAt });
});
after(async () => {
  mock.timers.reset();
  await api.close();
  rmSync(folder, { recursive: true });
});

const asGantry = (text: string) =>
  text
    .replaceAll("'docker ", "'gantry ")
    .replace(/^docker: /gm, "gantry: ")
    .replaceAll("  docker ", "  gantry ")
    .replaceAll("unknown command: docker", "unknown command: gantry");
const printable = (args: readonly string[]) => args.join(" ");

for (const { args, code, stdout, stderr } of cases) {
  test(`${printable(args)} prints what docker prints`, async () => {
    const io = memoryIo(args, { env: { DOCKER_HOST: `unix://${socket}`, HOME: folder } });
    const exitCode = await main(io);
    assert.equal(io.stdoutText(), stdout);
    assert.equal(io.stderrText(), asGantry(stderr));
    assert.equal(exitCode, code);
  });
}
