// COPY, ADD and WORKDIR: files go through the native program into an overlay over the step's base,
// whose upper folder then becomes a layer. The kernel resolves every path inside the target's root,
// so neither a hostile context nor a hostile base leads outside. Bytes pass through this process
// once, to get the names, owners and modes that the step wants.

import { join } from "node:path/posix";
import { Readable } from "node:stream";
import { GantryError, kindOf, messageOf } from "../../base/index.ts";
import {
  type CopyRequest,
  changeFileMode,
  type FolderRequest,
  type Root,
} from "../../build/index.ts";
import type { Lease, RootSource } from "../../storage/index.ts";
import { resolveUser } from "../containers/resolve-user.ts";
import type { EngineContext } from "../context.ts";
import { type CopiedFile, findTwin, rememberCopy } from "./copy-twin.ts";
import { isArchive, readFileIn } from "./file-content.ts";
import { type FoundSelection, findSelection, type Item } from "./selection.ts";
import type { TarFile, TarSink } from "./tar-scanner.ts";
import { BLANK, contentEnd, fileHeader, tarEnd } from "./tar-writer.ts";
import {
  destinationError,
  emptyPlace,
  findTarget,
  folderHeader,
  madeFolder,
  now,
  type Owner,
  type Target,
  tarName,
} from "./target.ts";
import type { Workspace } from "./workspace.ts";

export interface CopyPlace {
  engine: EngineContext;
  workspace: Workspace;
  lease: Lease;
  signal: AbortSignal;
  /** Tells the user. */
  say(text: string): Promise<void> | void;
}

const ACCOUNT_BYTES_MAX = 4 * 1024 * 1024;

/** Returns the layer's diff id. */
export async function copyFiles(place: CopyPlace, request: CopyRequest): Promise<string> {
  const { engine, workspace, signal } = place;
  const found = await Promise.all(
    request.selections.map((selection) =>
      findSelection(workspace.files(selection.from), selection, { signal }),
    ),
  );
  const base = workspace.view(request.root);
  const owner = request.chown === undefined ? undefined : await ownerOf(place, base, request.chown);
  const target = await findTarget(place, base, request.destination);
  const unpacked = await archives(place, request, found);
  const whole = { place, request, found, owner, target, unpacked };
  const isFolder = targetIsFolder(whole);
  const plan = isFolder ? whole : await lastOnly(whole);
  const above = unpacked.length === 0 ? await emptyPlace(place, base, target) : undefined;
  const files = above && (await filesOf(plan, isFolder));
  if (above && files) return await asLayer(plan, { isFolder, above, files });
  return await intoLayer(place, request.root, async (overlay) => {
    await engine.files.untar(overlay, "/", Readable.from(copied(plan, isFolder)), {
      keepKind: true,
      signal,
    });
    for (const { selection, item } of unpacked) {
      const content = selection.files.content(item, { signal });
      await renewWork(overlay, workspace);
      await engine.files.untar(overlay, target.path, content, { signal, ...(owner && { owner }) });
    }
  });
}

/** The files where an index knows them. Undefined when sources may hold files of one name: those
 * must replace one another as in a file system, for a layer has each name once. */
async function filesOf(plan: CopyPlan, isFolder: boolean): Promise<CopiedFile[] | undefined> {
  const { found, request } = plan;
  const items = found.flatMap((selection) => selection.items);
  const copies = items.map(({ into, name }) => join(into, name));
  const names = [...copies, ...request.inline.map(({ name }) => name)];
  const merges = names.length > 1 && !request.parents && items.some((item) => item.isFolder);
  const wanted: CopiedNames = { files: [], seen: new Set(), isTwice: false };
  const hasIndex = found.every(({ files }) => files.digests !== undefined);
  if (hasIndex) for await (const _ of copied({ ...plan, names: wanted }, isFolder));
  else if (merges || new Set(names).size < names.length) return undefined;
  return wanted.isTwice ? undefined : wanted.files;
}

/** The copy as a layer of its own; what an older one has is not written again. */
async function asLayer(
  plan: CopyPlan,
  { isFolder, above, files }: { isFolder: boolean; above: Buffer[]; files: CopiedFile[] },
): Promise<string> {
  const { engine, lease, signal } = plan.place;
  const { storage } = engine;
  const twin = findTwin(storage, plan.target.path, files, lease);
  const tar = Readable.from(whole(above, copied(plan, isFolder)));
  const { diffId } = await storage.layers.apply(tar, { lease, signal, ...(twin && { twin }) });
  rememberCopy(storage, plan.target.path, files, diffId);
  return diffId;
}

async function* whole(above: Buffer[], copied: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* above;
  yield* copied;
}

/** Makes a folder and the missing ones above it; undefined when it is there. */
export async function makeFolder(
  place: CopyPlace,
  { root, path, user }: FolderRequest,
): Promise<string | undefined> {
  const base = place.workspace.view(root);
  const target = await findTarget(place, base, path);
  if (target.isFolder) return undefined;
  if (target.exists) throw new GantryError("invalid", `cannot mkdir: ${path}: not a directory`);
  const made = madeFolder(target);
  const owner = user === "" ? made : await ownerOf(place, base, user);
  const folders = [...target.missing, target.path].map((name) =>
    folderHeader(name, { uid: owner.uid, gid: owner.gid }, made.mode),
  );
  const { engine, lease, signal } = place;
  const above = await emptyPlace(place, base, target);
  if (above) {
    const tar = Readable.from([...above, ...folders, tarEnd]);
    return (await engine.storage.layers.apply(tar, { lease, signal })).diffId;
  }
  return await intoLayer(place, root, async (overlay) => {
    const tar = Readable.from([...folders, tarEnd]);
    await engine.files.untar(overlay, "/", tar, { keepKind: true, signal });
  });
}

/** What `fill` writes over `root`, as a layer. */
async function intoLayer(
  { engine, workspace, lease, signal }: CopyPlace,
  { layers }: Root,
  fill: (overlay: Overlay) => Promise<void>,
): Promise<string> {
  const dir = await workspace.scratch();
  const name = dir.slice(workspace.dir.length + 1);
  try {
    const upperDir = await workspace.folder(join(name, "fs"));
    const workDir = await workspace.folder(join(name, "work"));
    const lowerDirs = engine.storage.snapshots.lowerDirs(layers);
    const rootfs =
      lowerDirs.length === 0
        ? ({ kind: "bind", path: upperDir } as const)
        : ({ kind: "overlay", lowerDirs, upperDir, workDir, volatile: true } as const);
    await fill({ kind: "mount", rootfs });
    const layer = await engine.storage.layers.capture(upperDir, { lease, signal });
    return layer.diffId;
  } finally {
    await workspace.remove(dir);
  }
}

type Overlay = Extract<RootSource, { kind: "mount" }>;

/** A volatile overlay cannot be mounted twice with one work folder. */
async function renewWork({ rootfs }: Overlay, workspace: Workspace): Promise<void> {
  if (rootfs.kind !== "overlay") return;
  await workspace.remove(rootfs.workDir);
  await workspace.folder(rootfs.workDir.slice(workspace.dir.length + 1));
}

interface CopyPlan {
  place: CopyPlace;
  request: CopyRequest;
  found: FoundSelection[];
  owner: Owner | undefined;
  target: Target;
  unpacked: readonly { selection: FoundSelection; item: Item }[];
  /** Only the files are wanted, in the order in which they come, and no bytes. */
  names?: CopiedNames;
}

interface CopiedNames {
  /** Regular files. */
  files: CopiedFile[];
  /** What is no folder. */
  seen: Set<string>;
  isTwice: boolean;
}

/** Whether files go beneath the destination, or one file becomes it. */
function targetIsFolder({ request, found, target, unpacked }: CopyPlan): boolean {
  const items = found.flatMap((selection) => selection.items);
  // A pattern may fit nothing.
  if (items.length + request.inline.length === 0) return false;
  const slash = request.destination.endsWith("/") || request.destination === "/";
  if (target.exists && !target.isFolder && (slash || items.some(({ isFolder }) => isFolder))) {
    throw destinationError(undefined, request.destination);
  }
  if (slash || target.isFolder || request.parents) return true;
  if (items.length + request.inline.length === 1) return false;
  // As in BuildKit, each in its turn: what one makes of the destination is there for the next.
  const archives = new Set(unpacked.map(({ item }) => item));
  const first = items.findIndex((item) => item.isFolder || archives.has(item));
  if (first > 0) throw destinationError(undefined, request.destination);
  return first === 0;
}

/** Of several files that become the destination the last one is left. */
async function lastOnly(plan: CopyPlan): Promise<CopyPlan> {
  const { found, request, place } = plan;
  const names = [
    ...found.flatMap((selection) => selection.items.map(({ name }) => name)),
    ...request.inline.map(({ name }) => name),
  ];
  if (names.length < 2) return plan;
  await place.say(
    `${request.destination} is ${names.at(-1)} alone, of ${names.length} files that are copied ` +
      "there: end it with a / to copy them into a folder\n",
  );
  const inline = request.inline.slice(-1);
  const last = inline.length > 0 ? undefined : found.findLast(({ items }) => items.length > 0);
  return {
    ...{ ...plan, request: { ...request, inline } },
    found: last ? [{ ...last, items: last.items.slice(-1) }] : [],
  };
}

/** The files that are archives to be unpacked. */
async function archives(
  { signal }: CopyPlace,
  request: CopyRequest,
  found: readonly FoundSelection[],
): Promise<{ selection: FoundSelection; item: Item }[]> {
  if (!request.unpack) return [];
  const all = found.flatMap((selection) => selection.items.map((item) => ({ selection, item })));
  const kept: typeof all = [];
  for (const one of all) {
    if (one.item.isFolder) continue;
    const { selection, item } = one;
    if (await isArchive(selection.files.content(item, { signal }))) kept.push(one);
  }
  return kept;
}

/** The tar that is unpacked over the base: missing folders, then what is copied. */
async function* copied(plan: CopyPlan, isFolder: boolean): AsyncGenerator<Buffer> {
  const { request, target, place } = plan;
  const owner = plan.owner ?? { uid: 0, gid: 0 };
  const items = plan.found.flatMap((selection) => selection.items);
  if (items.length + request.inline.length === 0) {
    yield tarEnd;
    return;
  }
  const made = madeFolder(target);
  const folderOwner = plan.owner ?? { uid: made.uid, gid: made.gid };
  const mode = madeFolderMode(request, made.mode);
  for (const path of target.missing) yield folderHeader(path, folderOwner, mode);
  const unpacked = new Set(plan.unpacked.map(({ item }) => item));
  const holds = isFolder || unpacked.size > 0 || items.some((item) => item.isFolder);
  // --chmod does not reach what comes out of an archive, nor its folder.
  const own = unpacked.size === items.length ? made.mode : mode;
  if (holds && !target.isFolder) yield folderHeader(target.path, folderOwner, own);
  const above = new Set<string>();
  for (const selection of plan.found) {
    for (const item of selection.items) {
      if (unpacked.has(item)) continue;
      if (item.into !== "")
        yield* foldersAbove(target.path, item.into, { owner: folderOwner, mode, made: above });
      const folder = join(target.path, item.into);
      const parents = request.parents && item.isFolder;
      const beneath = item.isFolder && !parents ? folder : join(folder, item.name);
      const path = isFolder || item.isFolder ? beneath : target.path;
      // A folder gives what it holds, not its own mode.
      yield* rewritten(plan, selection, item, { path, keepsRoot: item.isFolder && !parents });
    }
  }
  for (const { name, content } of request.inline) {
    const path = isFolder ? join(target.path, name) : target.path;
    if (plan.names) noteName(plan.names, { ...BLANK, name: tarName(path) }, "");
    yield* inlineFile(plan, path, content, owner);
  }
  if (place.signal.aborted) throw place.signal.reason;
  yield tarEnd;
}

/** Of the folders that a copy makes: as in BuildKit, an octal --chmod is theirs too. */
function madeFolderMode({ chmod }: CopyRequest, mode: number): number {
  return chmod && "octal" in chmod ? chmod.octal : mode;
}

/** --parents: the folders between the destination and a file. */
function* foldersAbove(
  target: string,
  into: string,
  { owner, mode, made }: { owner: Owner; mode: number; made: Set<string> },
): Generator<Buffer> {
  let at = target;
  for (const name of into.split("/")) {
    at = join(at, name);
    if (made.has(at)) continue;
    made.add(at);
    yield folderHeader(at, owner, mode);
  }
}

/** An item's files under their new names, with their new owners and modes. */
async function* rewritten(
  plan: CopyPlan,
  selection: FoundSelection,
  item: Item,
  { path, keepsRoot }: { path: string; keepsRoot: boolean },
): AsyncGenerator<Buffer> {
  const { signal } = plan.place;
  const { chmod } = plan.request;
  const out: Buffer[] = [];
  let size = 0;
  const finish = () => {
    if (size > 0) out.push(contentEnd(size));
    size = 0;
  };
  const change = (file: TarFile): TarFile => ({
    ...file,
    ...plan.owner,
    mtime: wholeSeconds(file.mtime),
    name: tarName(path === "/" ? file.name : file.name === "" ? path : `${path}/${file.name}`),
    ...(file.type === "1" && { link: tarName(join(path, file.link)) }),
    ...(chmod &&
      file.type !== "2" && { mode: changeFileMode(chmod, file.mode, file.type === "5") }),
  });
  const { files, excludes } = selection;
  if (plan.names) {
    for await (const [file, digest] of files.list(item, excludes, { signal })) {
      if (file.type !== "5") noteName(plan.names, change(file), digest);
    }
    return;
  }
  const sink: TarSink = {
    file(file: TarFile) {
      finish();
      if (file.name === "" && keepsRoot) return;
      out.push(fileHeader(change(file)));
      size = file.type === "0" ? file.size : 0;
    },
    data: (chunk) => out.push(chunk),
  };
  for await (const _ of files.scan(item, excludes, sink, { signal })) {
    yield Buffer.concat(out.splice(0));
  }
  finish();
  yield Buffer.concat(out);
}

/** Attributes are compared by nobody: such a file is written, and so is one without a digest. */
function noteName(names: CopiedNames, file: TarFile, digest: string): void {
  const { name, type, mode, uid, gid, size, mtime, xattrs } = file;
  if (names.seen.has(name)) names.isTwice = true;
  names.seen.add(name);
  if (type !== "0") return;
  const isPlain = digest !== "" && xattrs.length === 0;
  const print = isPlain ? `${digest} ${mode} ${uid} ${gid} ${size} ${mtime}` : "";
  names.files.push({ name, print });
}

/** As BuildKit's layers have it: fractions would double the headers of a layer. */
function wholeSeconds(mtime: string): string {
  const dot = mtime.indexOf(".");
  return dot < 0 ? mtime : String(Math.floor(Number(mtime)));
}

function* inlineFile(
  { request, owner }: CopyPlan,
  path: string,
  content: string,
  root: Owner,
): Generator<Buffer> {
  const bytes = Buffer.from(content);
  const mode = request.chmod ? changeFileMode(request.chmod, 0o644, false) : 0o644;
  const size = bytes.length;
  yield fileHeader({ ...BLANK, name: tarName(path), mode, size, ...(owner ?? root), ...now() });
  yield bytes;
  yield contentEnd(size);
}

/** --chown and the owner of a WORKDIR, by the accounts of the base. */
async function ownerOf({ engine, signal, say }: CopyPlace, base: RootSource, user: string) {
  if (/^\d+(:\d+)?$/.test(user)) {
    const [uid, gid = uid] = user.split(":").map(Number);
    return { uid: uid!, gid: gid! };
  }
  const [passwd, group] = await Promise.all(
    ["/etc/passwd", "/etc/group"].map((path) => readSmall(engine, base, path, signal)),
  );
  try {
    const { uid, gid } = resolveUser(user, { passwd: passwd!, group: group! });
    return { uid, gid };
  } catch (error) {
    // BuildKit takes root without a word.
    if (kindOf(error) !== "invalid") throw error;
    await say(`WARNING: ${messageOf(error)}: the files are root's\n`);
    return { uid: 0, gid: 0 };
  }
}

async function readSmall(
  engine: EngineContext,
  source: RootSource,
  path: string,
  signal: AbortSignal,
): Promise<string> {
  const bytes = await readFileIn(engine.files, source, path, {
    signal,
    bytesMax: ACCOUNT_BYTES_MAX,
  });
  return bytes === undefined ? "" : bytes.toString("utf8");
}
