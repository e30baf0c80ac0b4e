// The software bill of materials of a result, as SPDX 2.3: one walk over its file system by a
// scanner of our own. The same result gives the same document.

import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { GantryError } from "../../../base/index.ts";
import { digestOf, hexOf, writePlatform } from "../../../spec/index.ts";
import type { BuiltImage } from "../job.ts";
import { buildsFolder } from "../workspace.ts";
import {
  type AttestAttributes,
  type Attestation,
  type AttestPlace,
  checkFileName,
  flagOf,
} from "./attestations.ts";
import { GoBuildInfo } from "./go-build-info.ts";
import {
  apkPackages,
  type Distribution,
  dpkgPackages,
  goPackages,
  npmPackage,
  osRelease,
  type Package,
  pythonPackage,
  rpmPackage,
} from "./packages.ts";
import { ResultFiles, type Visit } from "./result-files.ts";
import { tableRows } from "./sqlite-table.ts";

const PREDICATE = "https://spdx.dev/Document";
const ATTRIBUTES = ["type", "generator", "disabled", "filename"];
/** Records of packages are smaller; what is larger is no record. */
const RECORD_BYTES_MAX = 32 * 1024 * 1024;
const RECORDS_BYTES_MAX = 128 * 1024 * 1024;
const RPM_BYTES_MAX = 256 * 1024 * 1024;
const PACKAGES_MAX = 100_000;
/** So much text is read at a stretch. */
const TURN_CHARS = 1024 * 1024;
/** No package has a longer name and version. */
const NAME_CHARS_MAX = 4096;
const LICENSE_CHARS_MAX = 1000;

export function checkSbom(attrs: AttestAttributes): void {
  for (const name of Object.keys(attrs)) {
    if (ATTRIBUTES.includes(name)) continue;
    const which = `one of ${ATTRIBUTES.join(", ")}`;
    throw new GantryError("invalid", `attestation "sbom" has no attribute "${name}": ${which}`);
  }
  flagOf("sbom", attrs, "disabled");
  checkFileName("sbom", attrs);
  if (attrs["generator"]) {
    const message =
      `the SBOM generator ${attrs["generator"]} is not supported: leave it out, and Gantry's own ` +
      "scanner makes the SBOM";
    throw new GantryError("not-implemented", message);
  }
}

export async function sbomOf(place: AttestPlace, image: BuiltImage): Promise<Attestation> {
  const { job, engine, reporter } = place;
  const platform = writePlatform(image.platform);
  const name = `[${platform}] generating sbom using gantry's scanner`;
  const packages = await reporter.step(name, async (vertex) => {
    const found = await findPackages(place, image);
    vertex.log(`found ${found.length} packages\n`);
    return found;
  });
  return {
    predicateType: PREDICATE,
    predicate: spdxDocument(image, packages, engine.options.version),
    fileName: job.attest.get("sbom")?.["filename"] || "sbom.spdx.json",
    inlineOnly: false,
  };
}

type Read = (bytes: Buffer, at: string) => void;

/** Everything that a walk over the files finds, sorted. */
async function findPackages(place: AttestPlace, image: BuiltImage): Promise<Package[]> {
  const { engine, signal } = place;
  const files = new ResultFiles(engine, image.layers, { signal });
  const records: { kind: string; text: string; at: string }[] = [];
  const rpm: string[] = [];
  const found: Package[] = [];
  let current: { close(): void; data(chunk: Buffer): void } | undefined;
  let recordBytes = 0;
  const keep =
    (kind: string): Read =>
    (bytes, at) => {
      recordBytes += bytes.length;
      if (recordBytes > RECORDS_BYTES_MAX || records.length > PACKAGES_MAX) throw tooMuch();
      records.push({ kind, text: bytes.toString("utf8"), at });
    };
  await files.walk({
    visit: (visit) => {
      current?.close();
      current = undefined;
      if (visit.file.type !== "0") return;
      if (found.length > PACKAGES_MAX) throw tooMuch();
      const kind = recordKind(visit.path);
      if (kind === "rpm") rpm.push(visit.path);
      else if (kind !== undefined) current = collector(visit, keep(kind));
      else if (isProgram(visit)) current = goReader(visit, found);
    },
    data: (chunk) => current?.data(chunk),
  });
  current?.close();
  const release = records.find(({ kind }) => kind === "os-release")?.text ?? "";
  const distribution = osRelease(release);
  let spent = 0;
  for (const { kind, text, at } of records) {
    signal.throwIfAborted();
    take(found, packagesOf(kind, text, at, distribution));
    spent += text.length;
    // Others are served meanwhile.
    if (spent > TURN_CHARS) await setImmediate();
    if (spent > TURN_CHARS) spent = 0;
  }
  for (const path of rpm) take(found, await rpmPackages(place, files, path, distribution));
  return unique(found);
}

/** One by one: a spread of very many is an error of its own. */
function take(found: Package[], more: readonly Package[]): void {
  if (found.length + more.length > PACKAGES_MAX) throw tooMuch();
  for (const one of more) {
    if (one.name.length + one.version.length <= NAME_CHARS_MAX) found.push(one);
  }
}

const tooMuch = (): GantryError =>
  new GantryError("exhausted", "the result has too many packages for an SBOM");

/** What the name of a file says of its content. */
function recordKind(path: string): string | undefined {
  if (/^(etc|usr\/lib)\/os-release$/.test(path)) return "os-release";
  if (/^var\/lib\/dpkg\/(status|status\.d\/[^/]+)$/.test(path) && !path.endsWith(".md5sums")) {
    return "dpkg";
  }
  if (/^(usr\/)?lib\/apk\/db\/installed$/.test(path)) return "apk";
  if (/^(var\/lib|usr\/lib\/sysimage)\/rpm\/rpmdb\.sqlite$/.test(path)) return "rpm";
  if (/(^|\/)node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(path)) return "npm";
  if (/\.dist-info\/METADATA$/.test(path)) return "python";
  if (/\.egg-info(\/PKG-INFO)?$/.test(path)) return "python";
  return undefined;
}

function packagesOf(kind: string, text: string, at: string, distribution: Distribution): Package[] {
  if (kind === "dpkg") return dpkgPackages(text, at, distribution);
  if (kind === "apk") return apkPackages(text, at, distribution);
  if (kind === "npm") return npmPackage(text, at);
  if (kind === "python") return pythonPackage(text, at);
  return [];
}

function collector({ file, path }: Visit, done: Read) {
  const chunks: Buffer[] = [];
  const fits = file.size <= RECORD_BYTES_MAX;
  return {
    data: (chunk: Buffer) => void (fits && chunks.push(Buffer.from(chunk))),
    close: () => void (fits && done(Buffer.concat(chunks), path)),
  };
}

const isProgram = ({ file }: Visit): boolean => (file.mode & 0o111) !== 0 && file.size > 4096;

function goReader({ path }: Visit, found: Package[]) {
  const info = new GoBuildInfo();
  let isElf: boolean | undefined;
  return {
    data: (chunk: Buffer) => {
      isElf ??= chunk.subarray(0, 4).equals(Buffer.from("\x7fELF", "latin1"));
      if (isElf) info.push(chunk);
    },
    close: () => {
      const modules = info.modules();
      if (modules !== undefined) take(found, goPackages(modules, path));
    },
  };
}

/** Its pages are read here and there, so it is copied to a file first. */
async function rpmPackages(
  { engine, signal }: AttestPlace,
  files: ResultFiles,
  path: string,
  distribution: Distribution,
): Promise<Package[]> {
  const dir = await mkdtemp(join(buildsFolder(engine), "rpm-"));
  try {
    await using copy = await open(join(dir, "rpmdb.sqlite"), "wx+", 0o600);
    let size = 0;
    for await (const chunk of files.content(path)) {
      signal.throwIfAborted();
      size += chunk.length;
      if (size > RPM_BYTES_MAX) return [];
      await copy.appendFile(chunk);
    }
    return await readRpm(copy, path, distribution, signal);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function readRpm(
  copy: FileHandle,
  path: string,
  distribution: Distribution,
  signal: AbortSignal,
): Promise<Package[]> {
  const readAt = async (at: number, length: number): Promise<Buffer> => {
    signal.throwIfAborted();
    const { buffer, bytesRead } = await copy.read(Buffer.alloc(length), 0, length, at);
    return buffer.subarray(0, bytesRead);
  };
  const found: Package[] = [];
  try {
    for await (const [, blob] of tableRows(readAt, "Packages")) {
      if (Buffer.isBuffer(blob)) take(found, rpmPackage(blob, path, distribution));
    }
  } catch {
    signal.throwIfAborted();
    return []; // an image may hold anything under that name
  }
  return found;
}

function unique(packages: readonly Package[]): Package[] {
  const byUrl = new Map(packages.map((one) => [`${one.purl} ${one.foundIn}`, one]));
  return [...byUrl].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
}

function spdxDocument(image: BuiltImage, packages: readonly Package[], version: string): object {
  const { created } = JSON.parse(Buffer.from(image.config).toString("utf8")) as {
    created?: string;
  };
  const ms = Date.parse(created ?? "");
  const root = "SPDXRef-DocumentRoot-Image";
  const named = packages.map((one) => ({
    one,
    id: `SPDXRef-Package-${hexOf(digestOf(`${one.purl} ${one.foundIn}`)).slice(0, 16)}`,
  }));
  const nothing = "NOASSERTION";
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: "sbom",
    documentNamespace: `https://spdx.org/spdxdocs/gantry-${hexOf(image.id)}`,
    creationInfo: {
      creators: [`Tool: gantry-${version}`],
      created: new Date(Number.isNaN(ms) ? 0 : ms).toISOString().replace(/\.\d+Z$/, "Z"),
    },
    packages: [
      {
        ...{ name: "sbom", SPDXID: root, downloadLocation: nothing, filesAnalyzed: false },
        ...{ primaryPackagePurpose: "CONTAINER", supplier: nothing },
      },
      ...named.map(({ one, id }) => ({
        ...{ name: one.name, SPDXID: id, versionInfo: one.version, supplier: nothing },
        ...{ downloadLocation: nothing, filesAnalyzed: false },
        sourceInfo: `found in /${one.foundIn}`,
        ...{ licenseConcluded: nothing, licenseDeclared: licenseOf(one), copyrightText: nothing },
        externalRefs: [
          {
            referenceCategory: "PACKAGE-MANAGER",
            ...{ referenceType: "purl", referenceLocator: one.purl },
          },
        ],
      })),
    ],
    relationships: [
      {
        ...{ spdxElementId: "SPDXRef-DOCUMENT", relatedSpdxElement: root },
        relationshipType: "DESCRIBES",
      },
      ...named.map(({ id }) => ({
        ...{ spdxElementId: root, relatedSpdxElement: id, relationshipType: "CONTAINS" },
      })),
    ],
  };
}

/** SPDX wants an expression of its own names; anything else would make the document invalid. */
function licenseOf({ license }: Package): string {
  if (license !== undefined && license.length > LICENSE_CHARS_MAX) return "NOASSERTION";
  const words = license?.split(/\s+(?:AND|OR|WITH)\s+/) ?? [];
  const isExpression =
    words.length > 0 &&
    words.every((word) => /^\(*[A-Z][A-Za-z0-9.]*-[A-Za-z0-9.+-]+\)*$/.test(word));
  return isExpression ? license! : "NOASSERTION";
}
