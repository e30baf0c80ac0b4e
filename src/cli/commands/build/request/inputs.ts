// Where a build's files come from: the context, the Dockerfile and named contexts become folders
// that the session offers, streams that it uploads, or addresses that the daemon fetches itself.

import { createHash, randomBytes } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { GantryError } from "../../../../base/index.ts";
import { callerPath, type Io } from "../../../io.ts";
import { findInLayout } from "../session/content-store.ts";
import type { BuildOptions } from "./options.ts";
import { invalid } from "./specs.ts";

export interface BuildInputs {
  attrs: Record<string, string>;
  folders: Map<string, string>;
  uploads: Map<string, Readable>;
  stores: Map<string, string>;
  sharedKey: string;
  /** Removes what was made for this build. */
  release(): Promise<void>;
}

const PEEK_BYTES = 1024;
const URL_PREFIX = /^(https?:\/\/|git:\/\/|ssh:\/\/|git@|github\.com\/|[\w.-]+@[\w.-]+:)/;

export function isRemote(text: string): boolean {
  return URL_PREFIX.test(text);
}

/** Opens everything; throws in docker's words when something is not there. */
export async function openInputs(io: Io, options: BuildOptions): Promise<BuildInputs> {
  const opening = new Inputs(io, options);
  try {
    await opening.open();
    return opening;
  } catch (error) {
    await opening.release();
    throw error;
  }
}

class Inputs implements BuildInputs {
  readonly attrs: Record<string, string> = {};
  readonly folders = new Map<string, string>();
  readonly uploads = new Map<string, Readable>();
  readonly stores = new Map<string, string>();
  sharedKey = "";
  readonly #io: Io;
  readonly #options: BuildOptions;
  #temporary: string | undefined;

  constructor(io: Io, options: BuildOptions) {
    this.#io = io;
    this.#options = options;
  }

  async open(): Promise<void> {
    const { context, dockerfileInline } = this.#options;
    if (context === "-") await this.#stdinContext();
    else if (isRemote(context)) await this.#remoteContext(context);
    else await this.#folderContext(context);
    if (dockerfileInline !== undefined) {
      await this.#dockerfileText(Buffer.from(dockerfileInline));
    }
    for (const [name, value] of Object.entries(this.#options.namedContexts)) {
      await this.#namedContext(name, value);
    }
  }

  async release(): Promise<void> {
    for (const stream of this.uploads.values()) stream.destroy();
    if (this.#temporary) await rm(this.#temporary, { recursive: true, force: true });
  }

  async #stdinContext(): Promise<void> {
    const { file } = this.#options;
    if (file === "-") {
      throw invalid("invalid argument: can't use stdin for both build context and dockerfile");
    }
    const { head, stream } = await peek(this.#io.stdin.open());
    if (isArchive(head)) {
      const id = randomBytes(16).toString("hex");
      this.uploads.set(id, stream);
      this.attrs["context"] = `http://buildkit-session/${id}`;
      this.attrs["filename"] = file === "" ? "Dockerfile" : file;
      return;
    }
    if (file !== "") {
      throw invalid("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles");
    }
    await this.#dockerfileText(await whole(stream));
    const empty = join(await this.#scratch(), "context");
    await mkdir(empty);
    this.folders.set("context", empty);
  }

  async #remoteContext(context: string): Promise<void> {
    const { file } = this.#options;
    this.attrs["context"] = context;
    if (file === "-") await this.#dockerfileText(await whole(this.#io.stdin.open()));
    else if (isAbsolute(file)) {
      this.#dockerfileIn(dirname(file), basename(file));
      this.attrs["dockerfilekey"] = "dockerfile";
    } else this.attrs["filename"] = file === "" ? "Dockerfile" : file;
  }

  async #folderContext(context: string): Promise<void> {
    const { file } = this.#options;
    const path = callerPath(this.#io, context);
    if (!isFolder(path)) {
      throw invalid(`unable to prepare context: path ${JSON.stringify(context)} not found`);
    }
    this.folders.set("context", path);
    this.sharedKey = createHash("sha256").update(`${hostname()}\0${path}`).digest("hex");
    if (this.#options.dockerfileInline !== undefined) return;
    if (file === "-") await this.#dockerfileText(await whole(this.#io.stdin.open()));
    else if (isRemote(file)) await this.#dockerfileText(await download(file, this.#io.signal));
    else if (file === "") this.#dockerfileIn(path, usualName(path));
    else this.#dockerfileIn(dirname(callerPath(this.#io, file)), basename(file));
  }

  #dockerfileIn(folder: string, name: string): void {
    if (!isFolder(folder)) {
      throw invalid(
        `resolve : lstat ${folder}: no such file or directory (the folder of the Dockerfile)`,
      );
    }
    this.folders.set("dockerfile", folder);
    this.attrs["filename"] = name;
  }

  async #dockerfileText(text: Uint8Array): Promise<void> {
    const folder = join(await this.#scratch(), "dockerfile");
    await mkdir(folder);
    await writeFile(join(folder, "Dockerfile"), text);
    this.folders.set("dockerfile", folder);
    this.attrs["filename"] = "Dockerfile";
    this.attrs["dockerfilekey"] = "dockerfile";
  }

  async #scratch(): Promise<string> {
    const parent = this.#io.env["TMPDIR"] || tmpdir();
    this.#temporary ??= await mkdtemp(join(parent, "gantry-build-"));
    return this.#temporary;
  }

  async #namedContext(name: string, value: string): Promise<void> {
    this.attrs["frontend.caps"] = "moby.buildkit.frontend.contexts+forward";
    const key = `context:${name}`;
    if (isRemote(value) || /^(docker-image:\/\/|target:|input:)/.test(value)) {
      this.attrs[key] = value;
    } else if (value.startsWith("oci-layout://")) {
      this.attrs[key] = await this.#layoutContext(value.slice("oci-layout://".length), value);
    } else {
      const path = callerPath(this.#io, value.replace(/^file:\/\//, ""));
      if (!isFolder(path)) {
        throw invalid(
          `failed to get build context ${name}: stat ${value}: no such file or directory`,
        );
      }
      const folder = name === "context" || name === "dockerfile" ? `_${name}` : name;
      this.folders.set(folder, path);
      this.attrs[key] = `local:${folder}`;
    }
  }

  /** "path[:tag][@digest]" → a store of the session's, pinned to a digest. */
  async #layoutContext(text: string, given: string): Promise<string> {
    const at = text.indexOf("@");
    let digest = at < 0 ? undefined : text.slice(at + 1);
    let path = at < 0 ? text : text.slice(0, at);
    let tag = "latest";
    const colon = path.lastIndexOf(":");
    if (colon > path.lastIndexOf("/")) {
      tag = path.slice(colon + 1);
      path = path.slice(0, colon);
    }
    const folder = callerPath(this.#io, path);
    digest ??= await findInLayout(folder, tag);
    if (digest === undefined) {
      throw new GantryError("not-found", `failed to find ${tag} in the OCI layout of ${given}`);
    }
    const id = randomBytes(16).toString("hex");
    this.stores.set(`oci:${id}`, folder);
    return `oci-layout://${id}:${tag}@${digest}`;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** As buildx: a Dockerfile in small letters serves where there is no other. */
function usualName(folder: string): string {
  if (existsSync(resolve(folder, "Dockerfile"))) return "Dockerfile";
  return existsSync(resolve(folder, "dockerfile")) ? "dockerfile" : "Dockerfile";
}

/** The first bytes of a stream, and the stream as it was. */
async function peek(input: Readable): Promise<{ head: Buffer; stream: Readable }> {
  const chunks: Buffer[] = [];
  let length = 0;
  const reading = (input as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  let ended = false;
  while (length < PEEK_BYTES) {
    const { value, done } = await reading.next();
    if (done) {
      ended = true;
      break;
    }
    chunks.push(value);
    length += value.length;
  }
  const head = Buffer.concat(chunks);
  async function* again(): AsyncGenerator<Buffer> {
    if (head.length > 0) yield head;
    while (!ended) {
      const { value, done } = await reading.next();
      if (done) return;
      yield value;
    }
  }
  return { head, stream: Readable.from(again(), { objectMode: false }) };
}

const MAGIC = [
  Buffer.from([0x1f, 0x8b, 0x08]),
  Buffer.from("BZh"),
  Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]),
  Buffer.from([0x28, 0xb5, 0x2f, 0xfd]),
];
const TAR_HEAD_BYTES = 512;

/** Whether bytes begin an archive, compressed or not. */
export function isArchive(head: Buffer): boolean {
  if (MAGIC.some((magic) => head.subarray(0, magic.length).equals(magic))) return true;
  if (head.length < TAR_HEAD_BYTES) return false;
  const sum = Number.parseInt(
    head
      .toString("latin1", 148, 156)
      .replace(/[\0 ]+$/, "")
      .trim(),
    8,
  );
  let actual = 0;
  for (let at = 0; at < TAR_HEAD_BYTES; at++) {
    actual += at >= 148 && at < 156 ? 0x20 : head[at]!;
  }
  return actual > 0 && sum === actual;
}

const DOCKERFILE_BYTES_MAX = 2 << 20;

async function whole(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > DOCKERFILE_BYTES_MAX) throw invalid("the Dockerfile is too large");
  }
  return Buffer.concat(chunks);
}

async function download(url: string, signal: AbortSignal): Promise<Buffer> {
  const answer = await fetch(url, { signal });
  if (!answer.ok || answer.body === null) {
    throw invalid(`failed to fetch ${url}: ${answer.status} ${answer.statusText}`);
  }
  return whole(Readable.fromWeb(answer.body as never));
}
