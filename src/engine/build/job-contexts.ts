// The contexts of one build: each opened once, when the first thing needs it, with only the files
// that the needed stages can read. Dockerfiles and ignore files are fetched apart and first.

import { GantryError } from "../../base/index.ts";
import { type FileSource, readIgnoreFile } from "../../build/index.ts";
import { type ContextPlace, openContext } from "./contexts/index.ts";
import type { BuildJob, ContextSource, Material, OpenContext, VertexReport } from "./job.ts";
import type { BuildReport, OpenVertex } from "./report.ts";

const IGNORE_BYTES_MAX = 4 * 1024 * 1024;
const IGNORE_NAMES = [".dockerignore", ".containerignore"];
/** Client folders and our own: others come whole, and what a server packed is meant. */
const FILTERED: readonly ContextSource["kind"][] = ["session", "folder"];

interface Need {
  followPaths: readonly string[];
  exclude: readonly string[];
}
export interface IgnoreFile {
  name: string;
  bytes: Buffer;
}

export class JobContexts {
  readonly #place: ContextPlace;
  readonly #job: BuildJob;
  readonly #report: BuildReport;
  readonly #signal: AbortSignal;
  readonly #needs = new Map<string, Need>();
  readonly #open = new Map<string, Promise<OpenContext>>();
  readonly #vertices = new Map<string, OpenVertex>();
  #partial = 0;

  constructor(
    place: ContextPlace,
    job: BuildJob,
    { report, signal }: { report: BuildReport; signal: AbortSignal },
  ) {
    this.#place = place;
    this.#job = job;
    this.#report = report;
    this.#signal = signal;
  }

  source(name: string): ContextSource {
    const source = this.#job.contexts.get(name);
    if (source !== undefined) return source;
    if (name === "") return { kind: "empty" };
    throw new GantryError("invalid", `no build context ${JSON.stringify(name)} was given`);
  }

  /** What the build reads of a context, nothing else has to come; said before it is opened. */
  need(name: string, need: Need): void {
    this.#needs.set(name, need);
  }

  isFiltered(name: string): boolean {
    return FILTERED.includes(this.source(name).kind);
  }

  /** The vertex of a context's transfer, announced before anything depends on it. */
  vertex(name: string): OpenVertex {
    const known = this.#vertices.get(name);
    if (known) return known;
    const vertex = this.#report.open(vertexName(name, this.source(name)), { waits: true });
    this.#vertices.set(name, vertex);
    return vertex;
  }

  /** The context's files, once they are here. */
  async open(name: string): Promise<FileSource> {
    let opening = this.#open.get(name);
    if (opening === undefined) {
      opening = this.#transfer(name);
      opening.catch(() => {});
      this.#open.set(name, opening);
    }
    return (await opening).source;
  }

  async #transfer(name: string): Promise<OpenContext> {
    const vertex = this.vertex(name);
    vertex.begin();
    const need = this.isFiltered(name) ? this.#needs.get(name) : undefined;
    const transfer = new Transfer(vertex, `transferring ${name || "context"}:`);
    try {
      const open = await openContext(this.#place, this.source(name), {
        ...{ name, vertex: transfer, signal: this.#signal },
        ...(need && { followPaths: need.followPaths, exclude: need.exclude }),
      });
      transfer.done();
      vertex.done();
      return open;
    } catch (error) {
      vertex.failed(error);
      throw error;
    }
  }

  /** Small files of a context, before it is opened as a whole: only these are sent. Undefined
   * where there is none. */
  async files(
    name: string,
    paths: readonly string[],
    { vertex, bytesMax, title }: { vertex: OpenVertex; bytesMax: number; title: string },
  ): Promise<(Buffer | undefined)[]> {
    const { workspace } = this.#place;
    const signal = this.#signal;
    const isPart = this.isFiltered(name);
    const transfer = new Transfer(vertex, `transferring ${title}:`);
    const part = isPart
      ? await openContext(this.#place, this.source(name), {
          ...{ name: `internal:${++this.#partial}`, vertex: transfer, signal },
          ...{ followPaths: paths },
        })
      : undefined;
    transfer.done();
    const from = part?.source ?? (await this.open(name));
    try {
      const read = (path: string) => workspace.readFile(from, `/${path}`, { signal, bytesMax });
      return await Promise.all(paths.map(read));
    } finally {
      await part?.release();
    }
  }

  /** A named context's own ignore file. */
  async ownIgnore(name: string): Promise<IgnoreFile | undefined> {
    if (!this.isFiltered(name)) return undefined;
    const title =
      name === "" ? "[internal] load .dockerignore" : `[context ${name}] load .dockerignore`;
    return await this.#report.step(title, async (report) => {
      const vertex = report as OpenVertex;
      const found = await this.files(name, IGNORE_NAMES, {
        ...{ vertex, bytesMax: IGNORE_BYTES_MAX, title: name || "context" },
      });
      const at = found.findIndex((bytes) => bytes !== undefined);
      return at < 0 ? undefined : { name: IGNORE_NAMES[at]!, bytes: found[at]! };
    });
  }

  /** What the contexts that were read were made of. */
  async materials(): Promise<Material[]> {
    const opened = await Promise.all(
      [...this.#open.values()].map((one) => one.catch(() => undefined)),
    );
    return opened.flatMap((open) => open?.materials ?? []);
  }

  async release(): Promise<void> {
    for (const opening of this.#open.values()) {
      const open = await opening.catch(() => undefined);
      await open?.release();
    }
  }
}

/** How much of one thing has come, whatever those who fetch it call it. */
class Transfer implements VertexReport {
  readonly #vertex: OpenVertex;
  readonly #title: string;
  #current = 0;

  constructor(vertex: OpenVertex, title: string) {
    this.#vertex = vertex;
    this.#title = title;
  }

  get digest(): string {
    return this.#vertex.digest;
  }

  log(text: string | Uint8Array): void {
    void this.#vertex.log(text);
  }

  status(_id: string, { current, total }: { current: number; total: number }): void {
    this.#current = current;
    this.#vertex.status(this.#title, { current, total });
  }

  done(): void {
    const current = this.#current;
    this.#vertex.status(this.#title, { current, total: 0, done: true });
  }
}

/** An ignore file as patterns for the client, in order. */
export function excludesOf(ignore: IgnoreFile | undefined): string[] {
  if (ignore === undefined) return [];
  const rules = readIgnoreFile(ignore.bytes, ignore.name);
  return rules.map(({ pattern, negated }) => `${negated ? "!" : ""}${pattern}`);
}

function vertexName(name: string, source: ContextSource): string {
  if (source.kind === "git" || source.kind === "http") {
    const shown = withoutPassword(source.url);
    const what = source.kind === "git" ? `load git source ${shown}` : `load remote build context`;
    return `[${name === "" ? "internal" : `context ${name}`}] ${what}`;
  }
  if (name === "") return "[internal] load build context";
  if (name === "dockerfile") return "[internal] load build definition";
  return `[context ${name}] load from client`;
}

function withoutPassword(url: string): string {
  return url.replace(/^(\w+:\/\/)[^/?#]*@/, "$1");
}
