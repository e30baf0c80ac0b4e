// Bootstrap: a genuine base image of Debian or Ubuntu without a registry. The host's apt resolves,
// fetches and verifies packages in a root of its own; storage unpacks them; their scripts run
// inside a container; the result is one layer. Commit point: the image is named.

import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import tar from "tar-stream";
import { GantryError } from "../../base/index.ts";
import { formatReference } from "../../spec/index.ts";
import { encodeImageConfig, type Lease } from "../../storage/index.ts";
import {
  type AptRoot,
  fetchPackages,
  hostSources,
  makeAptRoot,
  releaseDate,
  updateLists,
} from "../bootstrap/apt-root.ts";
import {
  DISTRIBUTIONS,
  type Distribution,
  formatAptSources,
  publicSources,
  sourcesFor,
} from "../bootstrap/apt-sources.ts";
import { withInstalled } from "../bootstrap/configure.ts";
import { outputOf } from "../bootstrap/host-command.ts";
import { mergedFolders, packageEntries } from "../bootstrap/package-tar.ts";
import { removeContainer } from "../containers/remove.ts";
import type { EngineContext } from "../context.ts";
import type { BootstrapRequest, Progress, Signal } from "../contract.ts";
import { hostPlatform } from "./find.ts";
import { announceImage, parseTarget } from "./tag.ts";

const REQUIRED = ["?priority(required)", "apt"];
const VARIANTS: Record<string, readonly string[]> = {
  essential: [],
  apt: ["apt"],
  minbase: REQUIRED,
  important: [...REQUIRED, "?priority(important)"],
  standard: [...REQUIRED, "?priority(important)", "?priority(standard)"],
  buildd: [...REQUIRED, "build-essential"],
};
const PACKAGE = /^[a-z0-9][a-z0-9+.-]*$/;

interface Plan {
  distribution: Distribution;
  suite: string;
  packages: string[];
  mirror?: string;
}

/** Throws invalid when the request is not one that can be served. */
export function planBootstrap(o: BootstrapRequest): Plan {
  const [id = "", suite = "", ...rest] = o.image.split(":");
  const distribution = Object.hasOwn(DISTRIBUTIONS, id) ? DISTRIBUTIONS[id] : undefined;
  if (distribution === undefined) {
    throw new GantryError(
      "invalid",
      `unknown distribution ${JSON.stringify(id)}: bootstrap makes debian and ubuntu; ` +
        "for others, import a root file system: gantry import FILE NAME",
    );
  }
  if (!/^[a-z]+$/.test(suite) || rest.length > 0) {
    throw new GantryError(
      "invalid",
      `want ${id}:SUITE, such as ${id}:${EXAMPLES[distribution.id]}`,
    );
  }
  const variant = o.variant ?? "minbase";
  const chosen = Object.hasOwn(VARIANTS, variant) ? VARIANTS[variant] : undefined;
  if (chosen === undefined) {
    const known = Object.keys(VARIANTS).join(", ");
    throw new GantryError("invalid", `unknown variant ${JSON.stringify(variant)}: want ${known}`);
  }
  const bad = o.include?.find((name) => !PACKAGE.test(name));
  if (bad !== undefined) {
    throw new GantryError("invalid", `${JSON.stringify(bad)} is not the name of a package`);
  }
  if (o.mirror && !/^(https?|file):\/\/[^\s"]+$/.test(o.mirror)) {
    throw new GantryError("invalid", `${JSON.stringify(o.mirror)} is not the URL of a mirror`);
  }
  const packages = [...chosen, distribution.keyringPackage, ...(o.include ?? [])];
  return { distribution, suite, packages, ...(o.mirror && { mirror: o.mirror }) };
}

const foldersOf = (engine: EngineContext): string => join(engine.options.dataRoot, "bootstrap");

/** What bootstraps of a daemon that was killed left: their containers, images and folders. */
export async function clearBootstraps(engine: EngineContext): Promise<void> {
  try {
    await removeLeft(engine);
  } catch (error) {
    engine.log.warn("Cannot remove what an image bootstrap left", { error });
  }
}

async function removeLeft(engine: EngineContext): Promise<void> {
  const parent = foldersOf(engine);
  if ((await readdir(parent).catch(() => [])).length === 0) return;
  for (const { id, imageId, hostConfig } of engine.containers.all()) {
    if (!hostConfig.Binds?.some((bind) => bind.startsWith(`${parent}/`))) continue;
    await removeContainer(engine, id, { force: true, volumes: true });
    const { images } = engine.storage;
    if (images.get(imageId)?.references.length === 0) await images.remove(imageId);
  }
  await rm(parent, { recursive: true, force: true });
}

const EXAMPLES = { debian: "bookworm", ubuntu: "noble" };

/** Yields what happens; the last message but one names the image. */
export async function* bootstrapImage(
  engine: EngineContext,
  o: Signal & BootstrapRequest,
): AsyncGenerator<Progress> {
  const plan = planBootstrap(o);
  const target = parseTarget(o.tag ?? o.image, "");
  const signal = o.signal ? { signal: o.signal } : {};
  const parent = foldersOf(engine);
  await mkdir(parent, { recursive: true, mode: 0o711 });
  const folder = await mkdtemp(join(parent, "apt-"));
  const lease = engine.storage.lease();
  try {
    const sources = sourcesFor(plan.distribution, plan.suite, await hostSources(), plan);
    const root = await makeAptRoot(folder, sources, signal);
    yield* updateLists(root, signal);
    const essential = yield* fetchPackages(root, ["?essential"], signal);
    const further =
      plan.packages.length > 0 ? yield* fetchPackages(root, plan.packages, signal) : [];
    const date = await releaseDate(root);
    yield { status: `Unpacking ${essential.length} essential packages` };
    const imageId = await unpackEssential(engine, root, essential, { ...signal, lease, date });
    const all = essential.length + further.length;
    yield { status: `Installing ${all} packages inside a container` };
    const installation = {
      imageId,
      archives: root.archives,
      essential,
      further,
      epochSeconds: Math.floor(date.getTime() / 1000),
      sources: formatAptSources(publicSources(plan.distribution, sources)),
    };
    const id = await withInstalled(
      engine,
      installation,
      (containerId) => flatten(engine, containerId, { ...signal, lease, date, request: o }),
      signal,
    ).finally(() => engine.storage.images.remove(imageId));
    await engine.storage.images.tag(id, formatReference(target));
    announceImage(engine, "import", id, o.tag ?? o.image);
    yield { status: id };
  } finally {
    await lease.release();
    await rm(folder, { recursive: true, force: true });
  }
}

type Making = Signal & { lease: Lease; date: Date };

/** The files of the essential packages as an image of their own: enough for dpkg to run. */
async function unpackEssential(
  engine: EngineContext,
  root: AptRoot,
  names: readonly string[],
  { lease, date, signal }: Making,
): Promise<string> {
  const how = { lease, ...(signal && { signal }) };
  const skeleton = await engine.storage.layers.apply(skeletonTar(root.architecture), how);
  const files = await engine.storage.layers.apply(
    Readable.from(packageTars(root, names, signal), { objectMode: false }),
    how,
  );
  const diffIds = [skeleton.diffId, files.diffId];
  const raw = encodeImageConfig({
    ...hostPlatform(),
    created: date,
    config: {},
    diffIds,
    history: [],
  });
  return await engine.storage.images.put(raw);
}

const END = Buffer.alloc(1024);

async function* packageTars(root: AptRoot, names: readonly string[], signal?: AbortSignal) {
  for (const name of names) {
    const command = ["dpkg-deb", "--fsys-tarfile", join(root.archives, name)];
    yield* packageEntries(await outputOf(command, signal ? { signal } : {}));
  }
  yield END;
}

/** What dpkg expects before its first package, and the links of a merged /usr. */
function skeletonTar(architecture: string): Readable {
  const pack = tar.pack();
  const mtime = new Date(0);
  const folder = (name: string, mode = 0o755) =>
    pack.entry({ name: `${name}/`, type: "directory", mode, mtime });
  for (const name of ["usr", "var", "var/lib", "var/lib/dpkg", "mnt"]) folder(name);
  for (const name of ["info", "updates", "triggers", "parts"]) folder(`var/lib/dpkg/${name}`);
  folder("tmp", 0o1777);
  for (const name of ["status", "available"])
    pack.entry({ name: `var/lib/dpkg/${name}`, mtime }, "");
  for (const name of mergedFolders(architecture)) {
    folder(`usr/${name}`);
    pack.entry({ name, type: "symlink", linkname: `usr/${name}`, mode: 0o777, mtime });
  }
  pack.finalize();
  return Readable.from(pack as AsyncIterable<Buffer>, { objectMode: false });
}

/** The container's files as an image of one layer. The stubs that each container gets for its
 * mounts (/.dockerenv and the like) are not part of it. */
async function flatten(
  engine: EngineContext,
  containerId: string,
  { lease, date, signal, request }: Making & { request: BootstrapRequest },
): Promise<string> {
  const rootfs = engine.storage.snapshots.get(containerId);
  if (rootfs?.kind !== "overlay") throw new GantryError("internal", "the container has no layers");
  const [, ...lowerDirs] = rootfs.lowerDirs;
  const how = signal ? { signal } : {};
  const files = engine.files.export({ kind: "mount", rootfs: { ...rootfs, lowerDirs } }, how);
  const layer = await engine.storage.layers.apply(files, { lease, ...how });
  const created = date.toISOString().replace(/\.\d+Z$/, "Z");
  const created_by = `gantry image bootstrap ${request.image}`;
  const raw = encodeImageConfig({
    ...hostPlatform(),
    created: date,
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      Cmd: ["bash"],
    },
    diffIds: [layer.diffId],
    history: [{ created, created_by }],
  });
  return await engine.storage.images.put(raw);
}
