// How the conformance tests look at a container of gantry-runtime: as it is seen from outside
// (/proc, system calls on its pid) and by what a program in it gets.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import type { OciSpec } from "../../src/spec/index.ts";
import { payloadProgram } from "../payload/payload.ts";
import type { OciFixture } from "./oci-fixture.ts";

type Change = (spec: OciSpec) => void;
const run = promisify(execFile);

export interface Looked extends AsyncDisposable {
  id: string;
  pid: number;
}

/** A container without a filter that is created, and deleted in the end whatever became of it. */
export async function created(
  oci: OciFixture,
  change: Change = () => {},
  args = ["sleep"],
): Promise<Looked> {
  const { id, bundle } = await oci.bundle(args, unfiltered(change));
  await oci.detached("create", "-b", bundle, id);
  const { pid } = await oci.state(id);
  return {
    ...{ id, pid },
    [Symbol.asyncDispose]: async () => void (await oci.call("delete", "-f", id)),
  };
}

/** One that runs. */
export async function started(oci: OciFixture, change?: Change, args?: string[]): Promise<Looked> {
  const container = await created(oci, change, args);
  try {
    await oci.detached("start", container.id);
  } catch (error) {
    await container[Symbol.asyncDispose]();
    throw error;
  }
  return container;
}

/** What a program in a container of its own prints. */
export async function printed(
  oci: OciFixture,
  args: string[],
  change: Change = () => {},
): Promise<string> {
  const { id, bundle } = await oci.bundle(args, unfiltered(change));
  return (await oci.ok("run", "-b", bundle, id)).trimEnd();
}

/** What is said when a container cannot be had; nothing of it is left. */
export async function refusal(oci: OciFixture, change: Change): Promise<string> {
  const { id, bundle } = await oci.bundle(["true"], unfiltered(change));
  const { code, stderr, stdout } = await oci.call("run", "-b", bundle, id);
  if (code === 0) throw new Error(`It was not refused: ${stdout}`);
  const left = await oci.call("state", id);
  if (!/does not exist/.test(left.stderr)) throw new Error(`${id} is still there`);
  return stderr;
}

const unfiltered =
  (change: Change): Change =>
  (spec) => {
    delete spec.linux!.seccomp;
    change(spec);
  };

/** A verb of the payload on the host, for what is asked by system calls. */
export async function outside(...args: string[]): Promise<string> {
  return (await run(await payloadProgram(), args)).stdout.trimEnd();
}

/** A line of /proc/PID/status, without its name. */
export async function statusLine(pid: number, name: string): Promise<string> {
  const text = await readFile(`/proc/${pid}/status`, "utf8");
  const line = text.split("\n").find((one) => one.startsWith(`${name}:`));
  if (line === undefined) throw new Error(`/proc/${pid}/status has no ${name}`);
  return line
    .slice(name.length + 1)
    .trim()
    .replaceAll(/\s+/g, " ");
}

export async function procText(pid: number, file: string): Promise<string> {
  return (await readFile(`/proc/${pid}/${file}`, "utf8")).trimEnd();
}
