// A byte stream to a daemon on another machine: the user's own ssh runs `docker system dial-stdio`
// (or `gantry …`, where there is no docker) over there. Each stream is an ssh of its own; one
// connection carries them all where ssh may keep it (ControlMaster), so only the first one waits
// for the handshake. As with docker, ssh is in a session of its own: Ctrl-C is for the container.

import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { GantryError } from "../base/index.ts";
import type { Environment } from "./connect.ts";
import type { Endpoint } from "./endpoint.ts";

export type SshEndpoint = Extract<Endpoint, { kind: "ssh" }>;

const EXIT_COMMAND_MISSING = 127;
const COMPLAINT_BYTES_MAX = 4096;
const CONFIG_MS_MAX = 5_000;
/** So long an idle connection waits for the next command. */
const PERSIST_SECONDS = 60;

/** Options by endpoint: ssh is asked once about its configuration. */
const kept = new WeakMap<SshEndpoint, Promise<string[]>>();

/** A stream through ssh. It fails as a whole, in docker's words, when ssh ends with an error. */
export async function openSsh(endpoint: SshEndpoint, environment: Environment): Promise<Duplex> {
  let options = kept.get(endpoint);
  if (options === undefined) {
    options = controlOptions(endpoint, environment);
    kept.set(endpoint, options);
  }
  const args = [
    ...commonArguments(endpoint),
    ...(await options),
    "--",
    endpoint.host,
    ...remoteCommand(endpoint),
  ];
  const child = spawn("ssh", args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...environment },
    detached: true,
  });
  return joined(child, ["ssh", ...args].join(" "));
}

function commonArguments({ user, port }: SshEndpoint): string[] {
  return [
    ...["-o", "ConnectTimeout=30", "-T"],
    ...(user ? ["-l", user] : []),
    ...(port ? ["-p", port] : []),
  ];
}

function remoteCommand({ path, program = "docker" }: SshEndpoint): string[] {
  const host = path ? ["--host", shellWord(`unix://${path}`)] : [];
  return [program, ...host, "system", "dial-stdio"];
}

/** ssh joins the words with spaces, and a shell reads the line over there. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** What lets streams share a connection; nothing where the user's configuration has its own way,
 * or where there is no folder of this user's for the socket. */
async function controlOptions(endpoint: SshEndpoint, environment: Environment): Promise<string[]> {
  const folder = environment["XDG_RUNTIME_DIR"];
  if (!folder || environment["GANTRY_SSH_MULTIPLEX"] === "no") return [];
  const config = await configurationOf(endpoint, environment);
  const isSet =
    /^controlpath (?!none$)/im.test(config) || /^controlmaster (?!(?:false|no)$)/im.test(config);
  if (config === "" || isSet) return [];
  return [
    ...["-o", "ControlMaster=auto", "-o", `ControlPath=${folder}/gantry-ssh-%C`],
    ...["-o", `ControlPersist=${PERSIST_SECONDS}`],
  ];
}

function configurationOf(endpoint: SshEndpoint, environment: Environment): Promise<string> {
  const args = ["-G", ...commonArguments(endpoint), "--", endpoint.host];
  const options = { env: { ...environment }, timeout: CONFIG_MS_MAX };
  return new Promise((resolve) => {
    execFile("ssh", args, options, (error, stdout) => resolve(error ? "" : stdout));
  });
}

function joined(child: ChildProcessWithoutNullStreams, command: string): Duplex {
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    if (complaint.length < COMPLAINT_BYTES_MAX) complaint += chunk;
  });
  const stream = new Duplex({
    read: () => void child.stdout.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      if (child.stdin.write(chunk)) return done();
      child.stdin.once("drain", () => done());
    },
    final: (done) => void child.stdin.end(() => done()),
    destroy: (error, done) => {
      child.kill();
      done(error);
    },
  });
  // What ssh says at its end is told by its exit code, below.
  child.stdin.on("error", () => {});
  child.stdout.on("data", (chunk: Buffer) => {
    if (!stream.push(chunk)) child.stdout.pause();
  });
  child.once("error", (error: NodeJS.ErrnoException) => {
    const isMissing = error.code === "ENOENT";
    const missing = 'exec: "ssh": executable file not found in $PATH';
    stream.destroy(isMissing ? new GantryError("unavailable", missing, { cause: error }) : error);
  });
  // Not "close": a connection that is kept may hold the error output open.
  const drained = new Promise<void>((resolve) => child.stdout.once("end", resolve));
  child.once("exit", async (code, signal) => {
    await drained;
    if (code === 0 || signal !== null || stream.destroyed) return stream.push(null);
    stream.destroy(sshFailure(command, code ?? 0, complaint));
  });
  return stream;
}

function sshFailure(command: string, code: number, complaint: string): GantryError {
  return new GantryError(
    "unavailable",
    `command [${command}] has exited with exit status ${code}, make sure the URL is valid, ` +
      "and Docker 18.09 or later is installed on the remote host: " +
      `stderr=${complaint}`,
    { detail: { remoteCommandMissing: code === EXIT_COMMAND_MISSING } },
  );
}
