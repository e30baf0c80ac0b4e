// The exporters `local` and `tar`: the file system of the result, with its attestations as files
// beside it. Several platforms have a folder each ("linux_amd64"), unless platform-split=false.

import { createHash } from "node:crypto";
import { GantryError } from "../../../base/index.ts";
import { writePlatform } from "../../../spec/index.ts";
import type { BuiltImage, VertexReport } from "../job.ts";
import type { BuildSession, ClientFile } from "../session.ts";
import type { TarFile } from "../tar-scanner.ts";
import { BLANK, contentEnd, fileHeader, tarEnd } from "../tar-writer.ts";
import { statementsAbout } from "./attestations.ts";
import type { FilesOutput } from "./attributes.ts";
import { gathered } from "./gathered.ts";
import { platformFolder } from "./manifests.ts";
import { meter } from "./progress.ts";
import type { Response } from "./response.ts";
import { ResultFiles, type Visit } from "./result-files.ts";
import type { ShapePlace } from "./shape.ts";

const S_IFREG = 0o100000;
const FOLDER_MODE = 0o755;
const STATEMENT_MODE = 0o600;
const KINDS: Record<string, number> = {
  "0": S_IFREG,
  "1": S_IFREG,
  "2": 0o120000,
  "3": 0o020000,
  "4": 0o060000,
  "5": 0o040000,
  "6": 0o010000,
};

/** One file that goes out. */
interface OutFile {
  file: TarFile;
  path: string;
  content?: () => AsyncIterable<Uint8Array>;
}

export async function exportFiles(
  place: ShapePlace,
  output: FilesOutput,
  { vertex, session }: { vertex: VertexReport; session: BuildSession | undefined },
): Promise<{ response: Response; needed: readonly string[] }> {
  const { exporter, tar } = output;
  if (session === undefined) {
    const what = tar ? "the file" : "the folder";
    const message = `output "${tar ? "tar" : "local"}" needs a client that takes ${what}`;
    throw new GantryError("invalid", message);
  }
  const { signal } = place;
  const bytes = meter(vertex, tar ? "sending tarball" : copyingName(place.images));
  if (tar) {
    const archive = gathered(archiveOf(place, output, bytes.add));
    try {
      await session.sendFile({ exporter, metadata: {} }, archive, { signal });
    } finally {
      void archive.return(undefined); // a client that went away reads no more: neither do we
    }
  } else {
    const contents = new Map<string, () => AsyncIterable<Uint8Array>>();
    const open = async function* (path: string): AsyncGenerator<Uint8Array> {
      const content = contents.get(path);
      if (!content) throw new GantryError("not-found", `no file ${path} in the result`);
      for await (const chunk of content()) {
        bytes.add(chunk.length);
        yield chunk;
      }
    };
    const entries = async function* (): AsyncGenerator<ClientFile> {
      for await (const { file, path, content } of filesOf(place, output)) {
        if (content) contents.set(path, content);
        yield clientFile(file, path);
      }
    };
    const all = entries();
    try {
      await session.sendFolder({ exporter }, { entries: all, open }, { signal });
    } finally {
      void all.return(undefined);
    }
  }
  bytes.end();
  return { response: {}, needed: [] };
}

const copyingName = ([first, ...more]: readonly BuiltImage[]): string =>
  first && more.length === 0 ? "copying files" : "copying files of every platform";

/** The platforms with the folder of each, "" where there is only one. */
function foldersOf({ images }: ShapePlace, output: FilesOutput) {
  const isSplit = output.platformSplit ?? images.length > 1;
  return images
    .map((image) => ({ image, folder: isSplit ? platformFolder(image.platform) : "" }))
    .sort((a, b) => (a.folder < b.folder ? -1 : 1));
}

const isMerged = ({ images }: ShapePlace, { platformSplit }: FilesOutput): boolean =>
  images.length > 1 && platformSplit === false;

/** A platform's folder itself. */
function topFolder(output: FilesOutput, image: BuiltImage, folder: string): OutFile[] {
  if (folder === "") return [];
  const file = { ...BLANK, type: "5", mode: FOLDER_MODE, mtime: timeOf(output, image) };
  return [{ file, path: folder }];
}

/** A file beneath a platform's folder. */
function beneath(folder: string, { file, path, content }: OutFile): OutFile {
  if (folder === "") return { file, path, ...(content && { content }) };
  const link = file.type === "1" ? `${folder}/${file.link}` : file.link;
  return { file: { ...file, link }, path: `${folder}/${path}`, ...(content && { content }) };
}

/** Everything, in the order in which a folder is walked. */
async function* filesOf(place: ShapePlace, output: FilesOutput): AsyncGenerator<OutFile> {
  if (isMerged(place, output)) {
    yield* together(place, output);
    return;
  }
  for (const { image, folder } of foldersOf(place, output)) {
    yield* topFolder(output, image, folder);
    for await (const one of filesOfOne(place, output, image, true)) yield beneath(folder, one);
  }
}

/** platform-split=false: what platforms have in common must be folders, or the same. */
async function* together(place: ShapePlace, output: FilesOutput): AsyncGenerator<OutFile> {
  const found = new Map<string, OutFile>();
  for (const image of place.images) {
    for await (const one of filesOfOne(place, output, image, false)) {
      const before = found.get(one.path);
      if (before && !(before.file.type === "5" && one.file.type === "5")) {
        const message =
          `cannot overwrite ${one.path} from ${writePlatform(image.platform)} with another ` +
          "platform's: leave out platform-split=false";
        throw new GantryError("conflict", message);
      }
      if (!before) found.set(one.path, one);
    }
  }
  yield* [...found.values()].sort(byComponents);
}

function byComponents(a: OutFile, b: OutFile): number {
  return Buffer.compare(sortKey(a.path), sortKey(b.path));
}
const sortKey = (path: string): Buffer => Buffer.from(path.replaceAll("/", "\0"));

/** The files of one platform, its statements in their places among them. */
async function* filesOfOne(
  place: ShapePlace,
  output: FilesOutput,
  image: BuiltImage,
  isAlone: boolean,
): AsyncGenerator<OutFile> {
  const { engine, signal } = place;
  const files = new ResultFiles(engine, image.layers, { signal });
  const statements = await statementFiles(place, output, image, files, isAlone);
  for await (const visit of files.entries()) {
    const one = outFile(files, output, visit);
    yield* comingBefore(statements, one);
    yield one;
  }
  yield* statements;
}

/** Takes those whose place is in front of a file. */
function comingBefore(statements: OutFile[], one: OutFile): OutFile[] {
  const after = statements.findIndex((statement) => byComponents(statement, one) >= 0);
  if (statements[after]?.path === one.path) {
    throw new GantryError("conflict", `the result has a file ${one.path} where a statement goes`);
  }
  return statements.splice(0, after < 0 ? statements.length : after);
}

function outFile(files: ResultFiles, output: FilesOutput, { file, path }: Visit): OutFile {
  const mtime = output.epochSeconds === undefined ? file.mtime : String(output.epochSeconds);
  const link = file.type === "1" ? file.link.replace(/^(\.?\/)+/, "") : file.link;
  const clean = { ...file, mtime, link };
  if (file.type !== "0") return { file: clean, path };
  return { file: clean, path, content: () => files.content(path) };
}

async function statementFiles(
  place: ShapePlace,
  output: FilesOutput,
  image: BuiltImage,
  files: ResultFiles,
  isAlone: boolean,
): Promise<OutFile[]> {
  const all = await place.attestations.of(image);
  const wanted = all.filter(({ inlineOnly }) => !inlineOnly);
  if (wanted.length === 0) return [];
  const subjects = await subjectsOf(files);
  const made = statementsAbout(subjects, wanted).map(({ raw }, at): OutFile => {
    const { fileName } = wanted[at]!;
    const platform = platformFolder(image.platform);
    const name = isAlone ? fileName : fileName.replace(/(\.[^.]+)$/, `.${platform}$1`);
    const path = `${output.attestationPrefix}${name}`;
    const mtime = timeOf(output, image);
    const file = { ...BLANK, mode: STATEMENT_MODE, size: raw.length, mtime };
    return { file, path, content: () => once(raw) };
  });
  return made.sort(byComponents);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Every regular file with its digest. */
async function subjectsOf(files: ResultFiles): Promise<object[]> {
  const subjects: object[] = [];
  let hash = createHash("sha256");
  let name: string | undefined;
  const close = (): void => {
    if (name !== undefined) subjects.push({ name, digest: { sha256: hash.digest("hex") } });
    name = undefined;
  };
  await files.walk({
    visit: ({ file, path }) => {
      close();
      if (file.type !== "0") return;
      name = path;
      hash = createHash("sha256");
    },
    data: (chunk) => void hash.update(chunk),
  });
  close();
  return subjects;
}

/** What the build makes itself has the time of its image. */
function timeOf({ epochSeconds }: FilesOutput, { config }: BuiltImage): string {
  if (epochSeconds !== undefined) return String(epochSeconds);
  const { created } = JSON.parse(Buffer.from(config).toString("utf8")) as { created?: string };
  const ms = Date.parse(created ?? "");
  return String(Math.floor((Number.isNaN(ms) ? Date.now() : ms) / 1000));
}

function clientFile(file: TarFile, path: string): ClientFile {
  const [seconds = "0", fraction = ""] = file.mtime.split(".");
  const nanoseconds = BigInt(fraction.padEnd(9, "0").slice(0, 9) || "0");
  const xattrs = file.xattrs.map(([name, value]): [string, Uint8Array] => [
    name.replace(/^SCHILY\.xattr\./, ""),
    value,
  ]);
  return {
    ...{ path, uid: file.uid, gid: file.gid, linkname: file.link },
    mode: (KINDS[file.type] ?? S_IFREG) | (file.mode & 0o7777),
    size: file.type === "0" ? file.size : 0,
    modifiedNs: BigInt(seconds) * 1_000_000_000n + nanoseconds,
    ...{ devMajor: file.major, devMinor: file.minor, xattrs: new Map(xattrs) },
  };
}

/** A tar of everything: the tar of the result goes through with other headers. */
async function* archiveOf(
  place: ShapePlace,
  output: FilesOutput,
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  if (isMerged(place, output)) {
    yield* archived(together(place, output), count);
    yield tarEnd;
    return;
  }
  const { engine, signal } = place;
  for (const { image, folder } of foldersOf(place, output)) {
    const files = new ResultFiles(engine, image.layers, { signal });
    const statements = await statementFiles(place, output, image, files, true);
    const whole = (some: OutFile[]) => some.map((one) => beneath(folder, one));
    yield* archived(topFolder(output, image, folder), count);
    let owed = 0;
    for await (const events of files.events()) {
      for (const event of events) {
        if (Buffer.isBuffer(event)) {
          count(event.length);
          yield event;
          continue;
        }
        if (owed > 0) yield contentEnd(owed);
        const one = outFile(files, output, event);
        yield* archived(whole(comingBefore(statements, one)), count);
        yield headerOf(beneath(folder, one));
        owed = one.file.type === "0" ? one.file.size : 0;
      }
    }
    if (owed > 0) yield contentEnd(owed);
    yield* archived(whole(statements), count);
  }
  yield tarEnd;
}

const headerOf = ({ file, path }: OutFile): Buffer =>
  fileHeader({ ...file, name: file.type === "5" ? `${path}/` : path });

async function* archived(
  files: AsyncIterable<OutFile> | readonly OutFile[],
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const one of files) {
    const { file, path, content } = one;
    yield headerOf(one);
    if (!content) continue;
    let size = 0;
    for await (const chunk of content()) {
      size += chunk.length;
      count(chunk.length);
      yield chunk;
    }
    if (size !== file.size) {
      throw new GantryError("corrupt", `${path} has ${size} bytes, want ${file.size}`);
    }
    yield contentEnd(size);
  }
}
