// npm run bench -- --only registry: our registry and Debian's docker-registry, each on an empty
// local folder, interleaved: blobs up and down, manifests a second, and 500 pulls at once. The
// client speaks HTTP over plain sockets, so that it is never what is measured.

import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Samples, table } from "./statistics.ts";

const DOCKER_REGISTRY = "/usr/bin/docker-registry";
const BLOB_BYTES = 200 << 20;
const SMALL_BYTES = 1 << 20;
const CONNECTIONS = 32;
const MANIFESTS = 20_000;
const PULLS = 500;
const name = "bench/image";

interface Peer {
  name: string;
  port: number;
  child: ChildProcess;
  root: string;
  manifestPath: string;
  blobPath: string;
  smallPath: string;
  failures: number;
  up: Samples;
  down: Samples;
  manifests: Samples;
  pulls: Samples;
}

/** Measures `runs` rounds and prints the table; returns the figures by name. */
export async function compareRegistries(runs: number): Promise<Record<string, unknown>> {
  const peers: Peer[] = [];
  try {
    peers.push(await startPeer("gantry"));
    if (existsSync(DOCKER_REGISTRY)) peers.push(await startPeer("docker-registry"));
    else console.log("docker-registry is not here (apt install docker-registry)");
    for (const peer of peers) await fill(peer);
    const data = randomBytes(BLOB_BYTES);
    for (let run = 0; run < runs; run++) {
      for (const peer of peers) await oneRound(peer, data, run);
    }
    return report(peers);
  } finally {
    for (const { child, root } of peers) {
      child.kill("SIGKILL");
      await rm(root, { recursive: true, force: true });
    }
  }
}

async function startPeer(kind: "gantry" | "docker-registry"): Promise<Peer> {
  const root = await mkdtemp(join(tmpdir(), "gantry-bench-registry-"));
  const port = await freePort();
  const child =
    kind === "gantry"
      ? spawn(process.execPath, [join(import.meta.dirname, "registry-peer.ts"), root, `${port}`])
      : spawn(DOCKER_REGISTRY, ["serve", await dockerConfig(root, port)]);
  child.stderr?.resume();
  child.stdout?.resume();
  for (let attempt = 0; ; attempt++) {
    const answer = await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined);
    if (answer?.ok) break;
    if (attempt > 200) throw new Error(`${kind} does not answer`);
    await delay(50);
  }
  const samples = { up: new Samples(), down: new Samples() };
  const more = { manifests: new Samples(), pulls: new Samples(), failures: 0 };
  const paths = { manifestPath: "", blobPath: "", smallPath: "" };
  return { name: kind, port, child, root, ...paths, ...samples, ...more };
}

async function dockerConfig(root: string, port: number): Promise<string> {
  const path = join(root, "config.yml");
  const lines = [
    "version: 0.1",
    "log: {level: error, accesslog: {disabled: true}}",
    `storage: {filesystem: {rootdirectory: ${root}/data}, delete: {enabled: true}}`,
    `http: {addr: "127.0.0.1:${port}"}`,
  ];
  await writeFile(path, lines.join("\n"));
  return path;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** An image with a large and a small layer. */
async function fill(peer: Peer): Promise<void> {
  const base = `http://127.0.0.1:${peer.port}/v2/${name}`;
  const put = async (data: Buffer) => {
    const digest = digestOf(data);
    const start = await fetch(`${base}/blobs/uploads/`, { method: "POST" });
    const url = new URL(start.headers.get("location")!, base);
    url.searchParams.set("digest", digest);
    const done = await fetch(url, { method: "PUT", body: data as Buffer<ArrayBuffer> });
    if (done.status !== 201) throw new Error(`${peer.name}: ${done.status}`);
    return { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: data.length };
  };
  const layers = [await put(randomBytes(BLOB_BYTES)), await put(randomBytes(SMALL_BYTES))];
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const config = {
    ...(await put(Buffer.from("{}"))),
    mediaType: "application/vnd.oci.image.config.v1+json",
  };
  const body = JSON.stringify({ schemaVersion: 2, mediaType, config, layers });
  const headers = { "Content-Type": mediaType };
  const done = await fetch(`${base}/manifests/v1`, { method: "PUT", body, headers });
  if (done.status !== 201) throw new Error(`${peer.name}: ${done.status} ${await done.text()}`);
  peer.manifestPath = `/v2/${name}/manifests/v1`;
  peer.blobPath = `/v2/${name}/blobs/${layers[0]!.digest}`;
  peer.smallPath = `/v2/${name}/blobs/${layers[1]!.digest}`;
}

async function oneRound(peer: Peer, data: Buffer, run: number): Promise<void> {
  data.writeUInt32LE(run); // another blob each time
  const digest = digestOf(data);
  let begun = performance.now();
  await pushBlob(peer, data, digest);
  peer.up.add(BLOB_BYTES / 1e3 / (performance.now() - begun));
  begun = performance.now();
  await getMany(peer, peer.blobPath, { connections: 1, requests: 1 });
  peer.down.add(BLOB_BYTES / 1e3 / (performance.now() - begun));
  begun = performance.now();
  await getMany(peer, peer.manifestPath, { connections: CONNECTIONS, requests: MANIFESTS });
  peer.manifests.add((MANIFESTS * 1e3) / (performance.now() - begun));
  begun = performance.now();
  await getMany(peer, peer.smallPath, { connections: PULLS, requests: PULLS });
  peer.pulls.add(performance.now() - begun);
}

async function pushBlob(peer: Peer, data: Buffer, digest: string): Promise<void> {
  const base = `http://127.0.0.1:${peer.port}`;
  const start = await fetch(`${base}/v2/${name}/blobs/uploads/`, { method: "POST" });
  const url = new URL(start.headers.get("location")!, base);
  const line = `PATCH ${url.pathname}${url.search} HTTP/1.1\r\nHost: 127.0.0.1:${peer.port}\r\n`;
  const head = `${line}Content-Type: application/octet-stream\r\nContent-Length: ${data.length}\r\n\r\n`;
  const wire = new Wire(peer.port);
  const { status, headers } = await wire.ask(head, data);
  wire.close();
  if (status !== 202) throw new Error(`${peer.name}: PATCH ${status}`);
  const location = new URL(/^location: *(.*)$/im.exec(headers)![1]!.trim(), base);
  location.searchParams.set("digest", digest);
  const done = await fetch(location, { method: "PUT" });
  if (done.status !== 201) throw new Error(`${peer.name}: PUT ${done.status}`);
}

async function getMany(
  peer: Peer,
  path: string,
  { connections, requests }: { connections: number; requests: number },
): Promise<void> {
  const accept = "application/vnd.oci.image.manifest.v1+json";
  const head = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${peer.port}\r\nAccept: ${accept}\r\n\r\n`;
  let left = requests;
  const worker = async () => {
    const wire = new Wire(peer.port);
    try {
      while (left-- > 0) {
        const { status } = await wire.ask(head);
        if (status !== 200) peer.failures++;
      }
    } catch {
      peer.failures++;
    } finally {
      wire.close();
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
}

/** One connection; counts bodies without keeping them. */
class Wire {
  readonly #socket: Socket;
  #head = "";
  #left = -1;
  #answered: ((answer: { status: number; headers: string }) => void) | undefined;
  #failed: ((error: Error) => void) | undefined;

  constructor(port: number) {
    const onread = {
      buffer: new Uint8Array(256 << 10),
      callback: (bytes: number, buffer: Uint8Array) => {
        this.#take(Buffer.from(buffer.buffer, buffer.byteOffset, bytes));
        return true;
      },
    };
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true, onread });
    this.#socket.on("error", (error) => this.#failed?.(error));
    this.#socket.on("close", () => this.#failed?.(new Error("the connection ended")));
  }

  ask(head: string, body?: Buffer): Promise<{ status: number; headers: string }> {
    return new Promise((resolve, reject) => {
      this.#answered = resolve;
      this.#failed = reject;
      this.#socket.write(head);
      if (body !== undefined) this.#socket.write(body);
    });
  }

  #take(chunk: Buffer): void {
    let bytes = chunk.length;
    if (this.#left < 0) {
      const text = this.#head + chunk.toString("latin1", 0, Math.min(bytes, 8_192));
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) {
        this.#head = text;
        return;
      }
      bytes -= end + 4 - this.#head.length;
      this.#head = text.slice(0, end);
      this.#left = Number(/content-length: *(\d+)/i.exec(this.#head)?.[1] ?? 0);
    }
    this.#left -= bytes;
    if (this.#left > 0) return;
    const headers = this.#head;
    this.#head = "";
    this.#left = -1;
    this.#answered?.({ status: Number(headers.slice(9, 12)), headers });
  }

  close(): void {
    this.#failed = undefined;
    this.#socket.destroy();
  }
}

function report(peers: Peer[]): Record<string, unknown> {
  const head = ["registry (p50)", "up MB/s", "down MB/s", "manifests/s"];
  const rows = [[...head, `${PULLS} pulls ms`, "failed", "peak RSS MB", "CPU s"]];
  const results: Record<string, unknown> = {};
  for (const { name, up, down, manifests, pulls, failures, child } of peers) {
    const { peakMegabytes, cpuSeconds } = costOf(child.pid!);
    const figures = [up, down, manifests, pulls].map((samples) => samples.p50);
    rows.push([
      name,
      ...figures.map((value) => value.toFixed(0)),
      String(failures),
      peakMegabytes.toFixed(0),
      cpuSeconds.toFixed(1),
    ]);
    const [upload, download, manifestsPerSecond, pullsMs] = figures;
    results[name] = { upload, download, manifestsPerSecond, pullsMs, failures, peakMegabytes };
  }
  console.log(`${table(rows)}\n`);
  return results;
}

function costOf(pid: number): { peakMegabytes: number; cpuSeconds: number } {
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  return { peakMegabytes: Number(peak) / 1024, cpuSeconds: ticks / 100 };
}

function digestOf(data: Buffer): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}
