// The commands that people wait for, called once for nobody when the program is bundled: V8's cache
// of compiled code then has their functions, whatever the first real call is. The caller at the
// other end only claims to have done what it is asked: nothing happens on this host but files in a
// temporary folder.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { encodeSuccess } from "../native/index.ts";
import { encodeFrame, FRAME, FrameReader, serveOneCall } from "../warm/index.ts";
import { serve } from "./main.ts";

const ID = "rehearsal";

export async function rehearse(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "gantry-rehearsal-"));
  try {
    await rehearseIn(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function rehearseIn(folder: string): Promise<void> {
  const root = join(folder, "state");
  const stage = { startSocket: join(root, ID, "start.sock"), ...(await ownProcess()) };
  const call = (...argv: string[]) => rehearseCall(stage, ["--root", root, ...argv]);
  const bundle = join(folder, "bundle");
  await mkdir(join(bundle, "rootfs"), { recursive: true });
  await call("spec", "--bundle", bundle);
  await withoutTerminal(join(bundle, "config.json"));
  await call("run", "--bundle", bundle, ID);
  await call("create", "--bundle", bundle, "--pid-file", join(folder, "pid"), ID);
  await call("start", ID);
  await call("exec", ID, "true");
  await call("state", ID);
  await call("kill", ID, "TERM");
  await call("delete", "--force", ID);
  for (const answer of ["features", "--version", "list"]) await call(answer);
}

async function withoutTerminal(path: string): Promise<void> {
  const config = JSON.parse(await readFile(path, "utf8"));
  config.process.terminal = false;
  await writeFile(path, JSON.stringify(config));
}

/** Which the container's is said to be: it lives. */
async function ownProcess(): Promise<Pick<Stage, "pid" | "startTicks">> {
  const stat = await readFile("/proc/self/stat", "latin1");
  const [startTicks = "0"] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(19);
  return { pid: process.pid, startTicks: BigInt(startTicks) };
}

interface Stage {
  startSocket: string;
  pid: number;
  startTicks: bigint;
}

/** Resolves when the call has ended, whatever came of it. */
async function rehearseCall(stage: Stage, argv: string[]): Promise<void> {
  const socket = callerOf(stage);
  const ended = serveOneCall(socket, { serve });
  socket.push(encodeFrame(FRAME.hello, helloOf(argv)));
  await ended;
}

function helloOf(argv: string[]): Buffer {
  const identity = ["", "/", "000", "", "", String(argv.length)];
  return Buffer.from([...identity, ...argv, "PATH=/bin"].map((text) => `${text}\0`).join(""));
}

/** The end of a caller that claims to have done everything. */
function callerOf(stage: Stage): Duplex {
  const reader = new FrameReader();
  const socket = new Duplex({
    read() {},
    async write(chunk: Buffer, _encoding, done) {
      for (const { type, payload } of reader.push(chunk)) {
        if (type !== FRAME.native) continue;
        // Who asks whether the container waits to be started finds that it does.
        await writeFile(stage.startSocket, "").catch(() => {});
        socket.push(encodeFrame(FRAME.nativeAnswer, encodeSuccess(payload, stage)));
      }
      done();
    },
    final(done) {
      socket.push(null);
      done();
    },
  });
  return socket;
}
