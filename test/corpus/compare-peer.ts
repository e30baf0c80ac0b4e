// Builds every case of the corpus with stock dockerd (its own BuildKit, through buildx) and with a
// daemon of ours, and says what differs; `--write` keeps what stock made as expected.json. By hand:
//
//   node test/corpus/compare-peer.ts --peer /run/docker.sock [--ours | --buildx /run/gantry.sock]
//     [--write [--missing]] [NAME…]
//
// With --ours, --write keeps what still differs; docs/reference/dockerfile.md explains it.
// It needs docker with its buildx plugin on the PATH (or found by DOCKER_CONFIG), and payload's
// image imported by this program into both. No network is used.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import Docker from "dockerode";
import { run } from "../e2e/process.ts";
import {
  BASE,
  BASE_CHANGES,
  BASE_HISTORY,
  baseRootfs,
  contextFiles,
  contextFolder,
} from "./base.ts";
import {
  buildCase,
  checkCase,
  checkLines,
  differences,
  needsSession,
  type Outcome,
  order,
} from "./build-case.ts";
import type { Case } from "./case.ts";
import { corpus } from "./corpus.ts";
import { imageFacts } from "./image-facts.ts";

const EXPECTED = fileURLToPath(new URL("expected.json", import.meta.url));
const DIFFERENCES = fileURLToPath(new URL("differences.json", import.meta.url));
const AT_ONCE = 3;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peer: { type: "string" },
    ours: { type: "string" },
    buildx: { type: "string" },
    write: { type: "boolean" },
    missing: { type: "boolean" },
  },
});
const expected = JSON.parse(await readFile(EXPECTED, "utf8").catch(() => "{}"));
const chosen = corpus.filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
);
const folder = await mkdtemp(join(tmpdir(), "corpus-"));
try {
  if (values.peer) await askPeer(values.peer);
  if (values.ours) await askOurs(values.ours, (docker, c) => classicOutcome(docker, c));
  if (values.buildx) {
    const socket = values.buildx;
    await askOurs(socket, (docker, c) => peerOutcome(docker, socket, c));
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function askPeer(socket: string): Promise<void> {
  const docker = new Docker({ socketPath: socket });
  await importBase(docker);
  const asked = values.missing ? chosen.filter(({ name }) => !expected[name]) : chosen;
  await order(asked, AT_ONCE, async (c) => {
    try {
      expected[c.name] = await peerOutcome(docker, socket, c);
      if (values.write) await keep();
    } catch (error) {
      console.error(`${c.name}: ${error}`);
    }
  });
  if (values.write) await keep();
}

/** A line a case, so that a change of one shows as one. */
async function keep(): Promise<void> {
  for (const name of Object.keys(expected)) {
    if (!corpus.some((c) => c.name === name)) delete expected[name];
  }
  const rows = corpus.flatMap(({ name }) =>
    expected[name] ? `${JSON.stringify(name)}: ${JSON.stringify(expected[name])}` : [],
  );
  await writeFile(EXPECTED, `{\n${rows.join(",\n")}\n}\n`);
}

async function importBase(docker: Docker): Promise<void> {
  const stream = await docker.importImage(
    (await baseRootfs()) as never,
    {
      repo: BASE,
      changes: BASE_CHANGES,
    } as never,
  );
  await new Promise((resolve) =>
    (stream as unknown as NodeJS.ReadableStream).on("end", resolve).resume(),
  );
}

async function peerOutcome(docker: Docker, socket: string, c: Case): Promise<Outcome> {
  // Stock would download the front end that it names.
  const dockerfile = c.dockerfile.replace(/^# *syntax *=.*\n/im, "");
  const path = join(folder, c.name);
  await contextFolder(path, contextFiles({ ...c, dockerfile }));
  const args = await peerArguments(c, path);
  const env = { DOCKER_HOST: `unix://${socket}`, DOCKER_BUILDKIT: "1" };
  const outcome: Outcome = {};
  if (c.check !== "skip" && !c.after) {
    const call = ["buildx", "build", "--call=check,format=json", ...args, path];
    const { stdout, stderr } = await run("docker", call, { env });
    try {
      outcome.check = checkLines(JSON.parse(stdout), dockerfile);
    } catch {
      outcome.check = [`failed ${errorOf(stderr)}`];
    }
  }
  if (c.check === "only") return outcome;
  const built = await run("docker", ["buildx", "build", "-t", c.name, ...args, path], { env });
  if (built.code !== 0) return { ...outcome, error: errorOf(built.stderr) };
  const archive = await docker.getImage(c.name).get();
  return { ...outcome, image: await imageFacts(archive as never, BASE_HISTORY) };
}

async function peerArguments(c: Case, path: string): Promise<string[]> {
  const args = ["--network=none", "--provenance=false", "--progress=plain"];
  for (const [name, value] of Object.entries(c.buildArgs ?? {})) {
    args.push("--build-arg", `${name}=${value}`);
  }
  for (const [name, value] of Object.entries(c.labels ?? {}))
    args.push("--label", `${name}=${value}`);
  if (c.target) args.push("--target", c.target);
  for (const name of c.allow ?? []) args.push("--allow", name);
  for (const [id, text] of Object.entries(c.secrets ?? {})) {
    await writeFile(`${path}.${id}`, text);
    args.push("--secret", `id=${id},src=${path}.${id}`);
  }
  if (c.ssh) args.push("--ssh", `default=${process.env["SSH_AUTH_SOCK"] ?? ""}`);
  for (const [name, files] of Object.entries(c.contexts ?? {})) {
    await contextFolder(`${path}.ctx.${name}`, files);
    args.push("--build-context", `${name}=${path}.ctx.${name}`);
  }
  return args;
}

/** The last words of buildx. */
function errorOf(stderr: string): string {
  const [last = stderr] = stderr.split("ERROR: ").slice(-1);
  return last
    .replace(/^(?:failed to build: )?(?:failed to solve: )?/, "")
    .replace(/ref [0-9a-f-]+::\w+/, "ref …")
    .replace(/\/\S+\/overlay2\/\w+\/merged/, "")
    .replace(/lookup (\S+) on [^:]+:53: .*$/s, "lookup $1")
    .trim();
}

/** Keeps how ours differ: the test of the corpus fails on any other difference. */
async function keepDifferences(found: Map<string, string[]>): Promise<void> {
  const known = JSON.parse(await readFile(DIFFERENCES, "utf8").catch(() => "{}"));
  for (const { name } of chosen) {
    const own = found.get(name);
    if (own) known[name] = own;
    else delete known[name];
  }
  const rows = corpus.flatMap(({ name }) =>
    known[name] ? `${JSON.stringify(name)}: ${JSON.stringify(known[name], null, 1)}` : [],
  );
  await writeFile(DIFFERENCES, `{\n${rows.join(",\n")}\n}\n`);
}

async function classicOutcome(docker: Docker, c: Case): Promise<Outcome> {
  const outcome: Outcome = {};
  if (c.check !== "skip" && !c.after) outcome.check = checkCase(c);
  if (c.check !== "only") Object.assign(outcome, await buildCase(docker, c));
  return outcome;
}

async function askOurs(
  socket: string,
  ask: (docker: Docker, c: Case) => Promise<Outcome>,
): Promise<void> {
  const docker = new Docker({ socketPath: socket });
  await importBase(docker);
  const different = new Map<string, string[]>();
  await order(chosen, AT_ONCE, async (c) => {
    const wanted = expected[c.name];
    if (wanted === undefined || (values.ours && needsSession(c))) return;
    const found = differences(c, await ask(docker, c), wanted);
    if (found.length === 0) return;
    different.set(c.name, found);
    console.log(`== ${c.name}\n${found.join("\n")}`);
  });
  console.log(`${different.size} of ${chosen.length} differ`);
  if (values.write) await keepDifferences(different);
}
