// An apt of its own beside the host's: own sources, state, lists and cache in a folder, the host's
// keys, proxies and credentials. It resolves, fetches and verifies; nothing of the host's package
// state is read or written, and no script of a package runs.

import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../../base/index.ts";
import type { Progress, Signal } from "../contract.ts";
import { type AptSource, formatAptSources, parseAptSources } from "./apt-sources.ts";
import { linesOf, outputOf } from "./host-command.ts";

const FOLDERS = [
  "etc/apt.conf.d",
  "etc/preferences.d",
  "etc/sources.list.d",
  "state/lists/partial",
  "cache/archives/partial",
  "log",
];
/** Settings of the host that fetching needs; hooks and the like stay out. */
const INHERITED = /^(Acquire::(?!IndexTargets)|APT::Sandbox::)/;

export interface AptRoot {
  folder: string;
  archives: string;
  architecture: string;
  env: Record<string, string>;
}

/** The sources that the host's apt knows. */
export async function hostSources(): Promise<AptSource[]> {
  const folder = "/etc/apt/sources.list.d";
  const names = (await readdir(folder).catch(() => [])).sort();
  const files = names.filter((name) => /\.(list|sources)$/.test(name)).map((n) => join(folder, n));
  const found: AptSource[] = [];
  for (const path of ["/etc/apt/sources.list", ...files]) {
    const text = await readFile(path, "utf8").catch(() => "");
    found.push(...parseAptSources(path, text));
  }
  return found;
}

export async function makeAptRoot(
  folder: string,
  sources: readonly AptSource[],
  { signal }: Signal,
): Promise<AptRoot> {
  for (const name of FOLDERS) await mkdir(join(folder, name), { recursive: true, mode: 0o755 });
  await chmod(folder, 0o755); // apt fetches as a user of its own
  await writeFile(join(folder, "state/status"), "");
  await writeFile(join(folder, "etc/sources.list.d/new.sources"), formatAptSources(sources));
  const how = signal ? { signal } : {};
  const dumped = (await outputOf(["apt-config", "dump"], how)).toString();
  const architecture = (await outputOf(["dpkg", "--print-architecture"], how)).toString().trim();
  const lines = [
    ...dumped.split("\n").filter((line) => INHERITED.test(line)),
    `Dir::Etc "${folder}/etc/";`,
    'Dir::Etc::trusted "/etc/apt/trusted.gpg";',
    'Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d/";',
    'Dir::Etc::netrc "/etc/apt/auth.conf";',
    'Dir::Etc::netrcparts "/etc/apt/auth.conf.d/";',
    `Dir::State "${folder}/state/";`,
    `Dir::State::status "${folder}/state/status";`,
    `Dir::Cache "${folder}/cache/";`,
    `Dir::Log "${folder}/log/";`,
    `APT::Architecture "${architecture}";`,
    `APT::Architectures { "${architecture}"; };`,
    'APT::Install-Recommends "false";',
    'APT::Get::AllowUnauthenticated "false";',
    'Acquire::AllowInsecureRepositories "false";',
    'Acquire::Languages "none";',
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
    'Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";',
    'Acquire::Retries "3";',
  ];
  const conf = join(folder, "apt.conf");
  await writeFile(conf, `${lines.join("\n")}\n`);
  const env = { APT_CONFIG: conf, DEBIAN_FRONTEND: "noninteractive" };
  return { folder, archives: join(folder, "cache/archives"), architecture, env };
}

/** Fetches and verifies the lists. */
export async function* updateLists(root: AptRoot, { signal }: Signal): AsyncGenerator<Progress> {
  const command = ["apt-get", "-o", "APT::Update::Error-Mode=any", "update"];
  for await (const line of linesOf(command, { env: root.env, ...(signal && { signal }) })) {
    if (/^(Get|Hit):/.test(line)) yield { status: line };
  }
}

/** Fetches packages and what they need; returns the names of the files that came. */
export async function* fetchPackages(
  root: AptRoot,
  packages: readonly string[],
  { signal }: Signal,
): AsyncGenerator<Progress, string[]> {
  const before = new Set(await readdir(root.archives));
  const options = ["-y", "--download-only", "-o", "Debug::NoLocking=true"];
  const command = ["apt-get", ...options, "install", "--", ...packages];
  for await (const line of linesOf(command, { env: root.env, ...(signal && { signal }) })) {
    const said = /^Need to get (.*)\.$/.exec(line)?.[1];
    if (said) yield { status: `Fetching ${said}` };
  }
  const names = (await readdir(root.archives)).sort();
  return names.filter((name) => name.endsWith(".deb") && !before.has(name));
}

/** When the suite was last published: the time of everything that is made. */
export async function releaseDate(root: AptRoot): Promise<Date> {
  const lists = join(root.folder, "state/lists");
  let latest = 0;
  for (const name of await readdir(lists)) {
    if (!/_(In)?Release$/.test(name)) continue;
    const text = await readFile(join(lists, name), "utf8");
    latest = Math.max(latest, Date.parse(/^Date: (.*)$/m.exec(text)?.[1] ?? "") || 0);
  }
  if (latest > 0) return new Date(latest);
  throw new GantryError("corrupt", "apt has fetched no Release file with a date");
}
