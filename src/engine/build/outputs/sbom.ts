// The software bill of materials of a result, as SPDX 2.3: one walk over its file system by a
// scanner of our own. The same result gives the same document.

import { mkdtemp, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
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

const PREDICATE = "https://spdx.dev/Document";
const ATTRIBUTES = ["type", "generator", "disabled", "filename"];
/** Records of packages are smaller; what is larger is no record. */
const RECORD_BYTES_MAX = 32 * 1024 * 1024;
const RECORDS_BYTES_MAX = 128 * 1024 * 1024;
const RPM_BYTES_MAX = 256 * 1024 * 1024;
const PACKAGES_MAX = 100_000;
/** As rpm makes it. Anything else of that name (a view, computed columns) is a trap. */
const RPM_TABLE = new RegExp(
  "^CREATE TABLE ['\"]?Packages['\"]? ?" +
    "\\( ?hnum INTEGER PRIMARY KEY AUTOINCREMENT, ?blob BLOB NOT NULL ?\\)$",
  "i",
);

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
  for (const { kind, text, at } of records) found.push(...packagesOf(kind, text, at, distribution));
  for (const path of rpm) found.push(...(await rpmPackages(place, files, path, distribution)));
  return unique(found);
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
      if (modules !== undefined) found.push(...goPackages(modules, path));
    },
  };
}

/** SQLite wants a file of its own. */
async function rpmPackages(
  { engine, signal }: AttestPlace,
  files: ResultFiles,
  path: string,
  distribution: Distribution,
): Promise<Package[]> {
  const dir = await mkdtemp(join(buildsFolder(engine), "rpm-"));
  try {
    const copy = join(dir, "rpmdb.sqlite");
    const file = await open(copy, "wx", 0o600);
    try {
      let size = 0;
      for await (const chunk of files.content(path)) {
        signal.throwIfAborted();
        size += chunk.length;
        if (size > RPM_BYTES_MAX) return [];
        await file.write(chunk);
      }
    } finally {
      await file.close();
    }
    return readRpm(copy, path, distribution);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function readRpm(copy: string, path: string, distribution: Distribution): Package[] {
  try {
    const database = new DatabaseSync(copy, { readOnly: true });
    try {
      const table = database
        .prepare("SELECT type, sql FROM sqlite_schema WHERE name = 'Packages' LIMIT 1")
        .get();
      const isTable = table?.["type"] === "table";
      const sql = String(table?.["sql"] ?? "").replace(/\s+/g, " ");
      if (!isTable || !RPM_TABLE.test(sql)) return [];
      const found: Package[] = [];
      const rows = database.prepare(`SELECT blob FROM Packages LIMIT ${PACKAGES_MAX}`);
      for (const { blob } of rows.iterate()) {
        if (blob instanceof Uint8Array) found.push(...rpmPackage(blob, path, distribution));
      }
      return found;
    } finally {
      database.close();
    }
  } catch {
    return []; // an image may hold anything under that name
  }
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
  const words = license?.split(/\s+(?:AND|OR|WITH)\s+/) ?? [];
  const isExpression =
    words.length > 0 &&
    words.every((word) => /^\(*[A-Z][A-Za-z0-9.]*-[A-Za-z0-9.+-]+\)*$/.test(word));
  return isExpression ? license! : "NOASSERTION";
}
