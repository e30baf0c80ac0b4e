// Records what the stock client does with the cases, into run-requests.json and outputs.json:
//   tools/with-node test/golden/record.ts /usr/local/bin/docker
// The recorded answers are facts about another program; tests compare ours with them.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readRoutes } from "../support/docker-fixtures.ts";
import { serveFakeApi } from "../support/fake-docker-api.ts";
import { OUTPUT_CASES } from "./output-cases.ts";
import { RUN_CASES } from "./run-cases.ts";

const docker = process.argv[2] ?? "docker";
const folder = mkdtempSync(join(tmpdir(), "golden-"));
const socket = join(folder, "api.sock");
const api = await serveFakeApi(socket, {
  ...readRoutes,
  "POST /containers/create": { status: 201, body: { Id: "1".repeat(64), Warnings: [] } },
});

/** Drops what is zero and says nothing, so that the file stays readable. */
function withoutZeros(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutZeros);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value)
    .map(([key, item]) => [key, withoutZeros(item)] as const)
    .filter(([, item]) => !isZero(item));
  return Object.fromEntries(kept);
}
function isZero(value: unknown): boolean {
  return value === null || value === "" || value === 0 || value === false;
}

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}
function run(args: readonly string[]): Promise<Outcome> {
  const child = spawn(docker, args, {
    cwd: "/",
    env: {
      PATH: process.env["PATH"],
      HOME: folder,
      DOCKER_HOST: `unix://${socket}`,
      GOLDEN_SET: "v",
      TZ: "UTC",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
}
function save(name: string, rows: readonly unknown[]): void {
  const path = fileURLToPath(new URL(name, import.meta.url));
  writeFileSync(path, `[\n${rows.map((one) => JSON.stringify(one)).join(",\n")}\n]\n`);
}

const requests: unknown[] = [];
for (const flags of RUN_CASES) {
  api.requests.length = 0;
  const { code, stderr } = await run(["create", ...flags, "alpine", "cmd", "-x"]);
  const request = api.requests.find(({ path }) => path === "/containers/create");
  requests.push(
    request
      ? { flags, query: request.query, body: withoutZeros(JSON.parse(request.body)) }
      : { flags, code, stderr },
  );
}
save("run-requests.json", requests);

const outputs: unknown[] = [{ recordedAt: Date.now() }];
for (const args of OUTPUT_CASES) outputs.push({ args, ...(await run(args)) });
save("outputs.json", outputs);
await api.close();
rmSync(folder, { recursive: true });
