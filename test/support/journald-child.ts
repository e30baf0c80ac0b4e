// Runs in a mount namespace of its own: starts a real journald under a fresh /run, ships lines to
// it and prints what the journal has of the container, an entry a line, as JSON.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { numbered, ship } from "./shipping.ts";

const [program = ""] = process.argv.slice(2);
mkdirSync("/run/log/journal", { recursive: true });
mkdirSync("/run/systemd/journal", { recursive: true });
const journald = spawn(program, { stdio: "ignore" });
try {
  while (!existsSync("/run/systemd/journal/socket")) {
    if (journald.exitCode !== null) throw new Error(`journald ends: ${journald.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await using shipping = await ship("journald", { tag: "{{.Name}}", labels: "com.example" });
  const stderr = { stream: "stderr" as const, text: Buffer.from("two\nlines") };
  shipping.log.write(...numbered(0, 500), "y".repeat(400_000), stderr);
  await shipping.finish();
  for (;;) {
    const args = ["-D", "/run/log/journal", "--no-pager", "-o", "json", "--all"];
    const found = execFileSync("journalctl", [...args, "CONTAINER_NAME=web"], {
      maxBuffer: 64 * 1024 * 1024,
    });
    const entries = found.toString().trim().split("\n");
    if (entries.length >= 502) {
      process.stdout.write(entries.join("\n"));
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50)); // journald takes its time
  }
} finally {
  const ended = new Promise((resolve) => journald.once("exit", resolve));
  journald.kill("SIGKILL");
  await ended;
}
