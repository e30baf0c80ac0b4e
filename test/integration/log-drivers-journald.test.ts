// The journald driver against a real journald, which runs in a mount namespace of the test's own.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CONTAINER_ID, numbered } from "../support/shipping.ts";

const JOURNALD = "/usr/lib/systemd/systemd-journald";
const child = fileURLToPath(new URL("../support/journald-child.ts", import.meta.url));

function whyNot(): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync(JOURNALD)) return "systemd-journald is not on this machine";
  try {
    execFileSync("journalctl", ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return "journalctl is not on this machine";
  }
}

test("journald keeps every line, long ones and such of several lines too", {
  skip: whyNot(),
}, async () => {
  const script = 'mount -t tmpfs tmpfs /run && exec "$0" "$@"';
  const run = ["-m", "--", "sh", "-c", script, process.execPath, child, JOURNALD];
  const { stdout } = await promisify(execFile)("unshare", run, { maxBuffer: 64 * 1024 * 1024 });
  const entries = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, string>);
  const messages = entries.map((entry) => entry["MESSAGE"]);
  assert.deepEqual(messages, [...numbered(0, 500), "y".repeat(400_000), "two\nlines"]);
  const { PRIORITY, SYSLOG_IDENTIFIER, IMAGE_NAME, COM_EXAMPLE, CONTAINER_ID_FULL } =
    entries.at(-1)!;
  assert.deepEqual(
    [PRIORITY, SYSLOG_IDENTIFIER, IMAGE_NAME, COM_EXAMPLE, CONTAINER_ID_FULL],
    ["3", "web", "image:1", "label", CONTAINER_ID],
  );
  assert.equal(entries[0]?.["PRIORITY"], "6");
});
