// A client of builds that takes what comes out, and jobs to be built: for tests of outputs, without
// a transport.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import tar from "tar-stream";
import type { BuildEvent, BuildJob, BuildSession, ClientFile } from "../../src/engine/index.ts";
import type { Engine } from "../../src/index.ts";

export interface TakenFile {
  type: string;
  mode: number;
  mtime: number;
  link: string;
  content: string;
}
export type Layout = Map<string, Buffer>;

/** Keeps everything that a build sends, by the number of the output. */
export class TakingSession {
  readonly files = new Map<string, Buffer>();
  readonly metadata = new Map<string, Readonly<Record<string, string>>>();
  readonly folders = new Map<string, Map<string, ClientFile & { content: string }>>();
  readonly blobs: Layout = new Map();

  /** Only what outputs ask for: anything else is a mistake of the test. */
  get session(): BuildSession {
    const partly: Partial<BuildSession> = {
      id: "taking",
      sharedKey: "",
      closed: new AbortController().signal,
      sendFile: async ({ exporter, metadata }, bytes) => {
        this.files.set(exporter, Buffer.concat(await Array.fromAsync(bytes)));
        this.metadata.set(exporter, metadata);
      },
      sendFolder: async ({ exporter }, { entries, open }) => {
        const taken = new Map<string, ClientFile & { content: string }>();
        let last = "";
        for await (const entry of entries) {
          // The order in which BuildKit's clients want them.
          const key = entry.path.replaceAll("/", "\0");
          assert.ok(
            Buffer.compare(Buffer.from(last), Buffer.from(key)) < 0,
            `${entry.path}: order`,
          );
          last = key;
          const isFile = (entry.mode & 0o170000) === 0o100000 && entry.linkname === "";
          const chunks = isFile ? await Array.fromAsync(open(entry.path)) : [];
          const content = Buffer.concat(chunks);
          assert.equal(content.length, isFile ? entry.size : 0, `${entry.path}: size`);
          taken.set(entry.path, { ...entry, content: content.toString() });
        }
        this.folders.set(exporter, taken);
      },
      contentStore: (name) => ({
        size: async (digest) => this.blobs.get(`${name} ${digest}`)?.length,
        read: async function* () {},
        write: async ({ digest, size }, bytes) => {
          const whole = Buffer.concat(await Array.fromAsync(bytes));
          assert.equal(whole.length, size);
          assert.equal(`sha256:${createHash("sha256").update(whole).digest("hex")}`, digest);
          this.blobs.set(`${name} ${digest}`, whole);
        },
      }),
    };
    return partly as BuildSession;
  }
}

/** Outputs of a job, numbered. */
export function outputs(...all: [type: string, attrs?: Record<string, string>][]) {
  return all.map(([type, attrs = {}], at) => ({ type, attrs, exporter: String(at) }));
}

/** Builds, and returns what the build said of itself and how it was told. */
export async function build(engine: Engine, job: BuildJob) {
  const events: BuildEvent[] = [];
  const outcome = await engine.builds.solve(job, { tell: (event) => events.push(event) });
  return { ...outcome, events };
}

/** Names of the parts that were told, in order. */
export function partsOf(events: readonly BuildEvent[]): string[] {
  const names = events.flatMap((event) => (event.kind === "status" ? event.status.name : []));
  return [...new Set(names)];
}

/** The files of a tar. */
export async function readTar(bytes: Uint8Array): Promise<Map<string, TakenFile>> {
  const found = new Map<string, TakenFile>();
  const extract = Readable.from([bytes]).pipe(tar.extract());
  for await (const entry of extract) {
    const { name, type, mode, mtime, linkname } = entry.header;
    const content = Buffer.concat(await Array.fromAsync(entry as AsyncIterable<Buffer>));
    found.set(name.replace(/\/$/, ""), {
      ...{ type: type ?? "", mode: mode ?? 0, link: linkname ?? "" },
      mtime: Math.floor((mtime?.getTime() ?? 0) / 1000),
      content: content.toString("latin1"),
    });
  }
  return found;
}

export const json = (text: string | Uint8Array | undefined) => {
  assert.ok(text !== undefined, "there is a document");
  return JSON.parse(typeof text === "string" ? text : Buffer.from(text).toString("utf8"));
};
