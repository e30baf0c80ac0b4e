// Opens byte streams to a daemon: a unix socket, TCP, TLS, or `docker system dial-stdio` at the
// other end of ssh. TLS and child processes are loaded only where they are used: the start of
// every command pays for what this file imports.

import { connect as netConnect } from "node:net";
import type { Duplex } from "node:stream";
import type { Endpoint } from "./endpoint.ts";

export interface TlsMaterial {
  ca?: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  /** Checks the daemon's certificate. */
  verify: boolean;
}

/** The caller's, which is where ssh finds its agent; a warm process has another. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Resolves once the stream is connected; rejects with the system's error. */
export async function openStream(
  endpoint: Endpoint,
  tls?: TlsMaterial,
  environment: Environment = process.env,
): Promise<Duplex> {
  if (endpoint.kind === "ssh") return openSsh(endpoint, environment);
  if (tls && endpoint.kind === "tcp") return openTls(endpoint, tls);
  const socket =
    endpoint.kind === "unix"
      ? netConnect({ path: endpoint.path })
      : netConnect({ host: endpoint.host, port: endpoint.port, noDelay: true });
  await opened(socket, "connect");
  return socket;
}

function opened(socket: Duplex, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => reject(error);
    socket.once("error", onError);
    socket.once(event, () => {
      socket.off("error", onError);
      resolve();
    });
  });
}

async function openTls(
  endpoint: Extract<Endpoint, { kind: "tcp" }>,
  material: TlsMaterial,
): Promise<Duplex> {
  const [tls, { isIP }] = await Promise.all([import("node:tls"), import("node:net")]);
  const socket = tls.connect({
    host: endpoint.host,
    port: endpoint.port,
    ...(isIP(endpoint.host) ? {} : { servername: endpoint.host }),
    rejectUnauthorized: material.verify,
    minVersion: "TLSv1.2",
    // As Go: a trusted certificate need not be a root.
    allowPartialTrustChain: true,
    ...(material.ca ? { ca: material.ca } : {}),
    ...(material.cert ? { cert: material.cert } : {}),
    ...(material.key ? { key: material.key } : {}),
  });
  await opened(socket, "secureConnect");
  return socket;
}

async function openSsh(
  endpoint: Extract<Endpoint, { kind: "ssh" }>,
  environment: Environment,
): Promise<Duplex> {
  const [{ spawn }, { Duplex }] = await Promise.all([
    import("node:child_process"),
    import("node:stream"),
  ]);
  const args = ["-o", "ConnectTimeout=30", "-T"];
  if (endpoint.user) args.push("-l", endpoint.user);
  if (endpoint.port) args.push("-p", endpoint.port);
  args.push("--", endpoint.host, "docker");
  if (endpoint.path) args.push("--host", `unix://${endpoint.path}`);
  args.push("system", "dial-stdio");
  const child = spawn("ssh", args, { stdio: ["pipe", "pipe", "pipe"], env: { ...environment } });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => (complaint += chunk));
  const exited = new Promise<string | undefined>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code) => {
      const why = complaint.trim() === "" ? "" : `: stderr=${complaint.trim()}`;
      const command = `command [ssh ${args.join(" ")}]`;
      resolve(code === 0 ? undefined : `${command} has exited with exit status ${code}${why}`);
    });
  });
  const stream = new Duplex({
    read: () => void child.stdout.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      if (child.stdin.write(chunk)) done();
      else child.stdin.once("drain", () => done());
    },
    final: (done) => void child.stdin.end(done),
    destroy: (error, done) => {
      child.kill();
      done(error);
    },
  });
  child.stdin.on("error", () => {});
  child.stdout.on("data", (chunk: Buffer) => {
    if (!stream.push(chunk)) child.stdout.pause();
  });
  // The end of the output says nothing; how ssh ended says whether it was a connection at all.
  void exited.then((failure) => {
    if (failure === undefined) stream.push(null);
    else stream.destroy(new Error(failure));
  });
  return stream;
}
