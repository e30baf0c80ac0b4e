// What each command's arguments and each flag's value may be, for completion. A command that is
// not listed takes files; the values of a flag that is not listed are the user's to know.

import {
  type Asked,
  anyOf,
  bakeTargets,
  type Candidate,
  containerPaths,
  containers,
  containersOfNetwork,
  contexts,
  DIRECTIVE,
  environmentNames,
  images,
  networks,
  type Rule,
  registries,
  type Source,
  volumeSources,
  volumes,
  words,
} from "./sources.ts";
import {
  CAPABILITIES,
  EVENT_NAMES,
  FILTERS,
  LOG_DRIVERS,
  LOG_OPTIONS,
  PLATFORMS,
  SIGNALS,
  ULIMITS,
} from "./words.ts";

const { files, folders, noFiles, noSpace } = DIRECTIVE;

/** Only the first argument has candidates, or only the first `count`. */
const first =
  (source: Source, count = 1): Source =>
  async (asked) =>
    asked.words.args.length < count ? source(asked) : [];

/** A source for each argument in turn; the last one serves those that follow. */
const each =
  (...sources: readonly Source[]): Source =>
  (asked) =>
    sources[Math.min(asked.words.args.length, sources.length - 1)]!(asked);

const none: Source = () => Promise.resolve([]);

const removable: Source = (asked) =>
  asked.words.flags.has("force")
    ? containers()(asked)
    : containers("created", "exited", "dead")(asked);

const run = { source: first(images), directive: noFiles };
const anyContainer = { source: containers() };
const oneContainer = { source: first(containers()) };
const oneRunning = { source: first(containers("running")) };
const running = { source: containers("running", "paused", "restarting") };
const anyImage = { source: images };
const oneImage = { source: first(images) };
const anyVolume = { source: volumes };
const oneVolume = { source: first(volumes), directive: files };
const nothing = { source: none };

/** By the path of the command within its group. */
export const ARGUMENT_RULES: Readonly<Record<string, Rule>> = {
  "container attach": oneRunning,
  "container commit": oneContainer,
  "container cp": { source: containerPaths, directive: noSpace },
  "container create": run,
  "container diff": oneContainer,
  "container exec": oneRunning,
  "container export": oneContainer,
  "container inspect": anyContainer,
  "container kill": running,
  "container logs": oneContainer,
  "container pause": { source: containers("running") },
  "container port": oneContainer,
  "container rename": oneContainer,
  "container restart": anyContainer,
  "container rm": { source: removable },
  "container run": run,
  "container start": { source: containers("created", "exited", "dead") },
  "container stats": running,
  "container stop": running,
  "container top": oneRunning,
  "container unpause": { source: containers("paused") },
  "container update": anyContainer,
  "container wait": running,
  "builder build": { directive: folders },
  "image history": oneImage,
  "image import": { source: each(none, images), directive: files },
  "image inspect": anyImage,
  "image ls": oneImage,
  "image pull": oneImage,
  "image push": oneImage,
  "image referrers": oneImage,
  "image rm": anyImage,
  "image save": anyImage,
  "image tag": { source: first(images, 2) },
  "image verify": anyImage,
  "network connect": { source: each(networks, containers(), none) },
  "network disconnect": { source: each(networks, containersOfNetwork, none) },
  "network explain": oneContainer,
  "network inspect": { source: networks },
  "network rm": { source: networks },
  "volume clone": oneVolume,
  "volume export": oneVolume,
  "volume import": oneVolume,
  "volume inspect": anyVolume,
  "volume rm": anyVolume,
  "volume update": { source: first(volumes) },
  "context export": { source: first(contexts), directive: files },
  "context import": { directive: files },
  "context inspect": { source: contexts },
  "context rm": { source: contexts },
  "context update": { source: first(contexts) },
  "context use": { source: first(contexts) },
  "checkpoint create": oneRunning,
  "checkpoint ls": oneContainer,
  "checkpoint rm": oneContainer,
  "builder bake": { source: bakeTargets },
  "builder use": { source: first(words("default")) },
  "builder inspect": { source: first(words("default")) },
  bake: { source: bakeTargets },
  explain: { source: anyOf(first(words("run")), first(containers())) },
  inspect: { source: anyOf(containers(), images, networks, volumes) },
  login: { source: first(registries) },
  logout: { source: first(registries) },
  completion: { source: first(words("bash", "zsh", "fish")) },
};
for (const path of ["container ls", "container prune", "image prune", "network ls"])
  Object.assign(ARGUMENT_RULES, { [path]: nothing });

const keys = (...names: readonly string[]): Rule => ({
  source: words(...names.map((name) => `${name}=`)),
  directive: noSpace | noFiles,
});
const choice = (...values: readonly string[]): Rule => ({ source: words(...values) });
const FILES: Rule = { directive: files };
const FOLDERS: Rule = { directive: folders };
const namespaceOf = (...values: readonly string[]): Rule => ({
  source: async (asked) => {
    if (!asked.prefix.startsWith("container:")) return (await words(...values)(asked)) as never;
    const names = await containers("running")(asked);
    return names.map(({ value }) => ({ value: `container:${value}` }));
  },
});

/** By flag, or by "command flag" where it means something of its own. */
export const FLAG_RULES: Readonly<Record<string, Rule>> = {
  " context": { source: contexts },
  " host": keys(),
  " log-level": choice("debug", "info", "warn", "error", "fatal"),
  " config": FOLDERS,
  " tlscacert": FILES,
  " tlscert": FILES,
  " tlskey": FILES,
  attach: choice("stdin", "stdout", "stderr"),
  "build-context": FOLDERS,
  builder: choice("default"),
  call: choice("build", "check", "outline", "targets"),
  "cap-add": choice("ALL", ...CAPABILITIES),
  "cap-drop": choice("ALL", ...CAPABILITIES),
  cgroupns: choice("host", "private"),
  cidfile: FILES,
  env: { source: environmentNames },
  "env-file": FILES,
  file: FILES,
  from: { source: contexts },
  iidfile: FILES,
  input: FILES,
  ipc: namespaceOf("container:", "host", "none", "private", "shareable"),
  isolation: choice("default"),
  "label-file": FILES,
  link: { source: containers() },
  "log-driver": choice(...LOG_DRIVERS),
  "metadata-file": FILES,
  mount: keys("type=bind,source", "type=volume,source", "type=tmpfs,target", "type=image,source"),
  net: { source: networks },
  network: { source: anyOf(networks, words("container:", "none", "host")) },
  "builder build network": choice("default", "none", "host"),
  output: FILES,
  pid: namespaceOf("container:", "host"),
  platform: choice(...PLATFORMS),
  progress: choice("auto", "plain", "tty", "quiet", "rawjson", "none"),
  pull: choice("always", "missing", "never"),
  restart: choice("no", "always", "on-failure", "unless-stopped"),
  runtime: choice("runc", "io.containerd.runc.v2"),
  "security-opt": choice(
    ...["apparmor=", "label=", "no-new-privileges", "seccomp=", "systempaths=unconfined"],
  ),
  signal: choice(...SIGNALS),
  "stop-signal": choice(...SIGNALS),
  "storage-opt": keys("size"),
  type: choice("container", "image", "network", "volume"),
  ulimit: keys(...ULIMITS),
  userns: choice("host", "private", "auto", "auto:size="),
  uts: choice("host"),
  volume: { source: volumeSources, directive: noSpace },
  "volume-driver": choice("local"),
  "volumes-from": { source: containers() },
  "network create driver": choice("bridge", "host", "ipvlan", "macvlan", "none"),
  "network create scope": choice("local"),
  "volume create driver": choice("local"),
};

const LISTS = ["container ls", "image ls", "network ls", "volume ls", "container stats"];
const OBJECTS = ["container inspect", "image inspect", "network inspect", "volume inspect"];

/** The rule for a flag of a command; undefined where nothing is known of its values. */
export function flagRule(path: string, flag: string): Rule | undefined {
  if (flag === "log-opt") return { source: logOptions, directive: noSpace | noFiles };
  if (flag === "filter") return { source: filterSource(path), directive: noSpace | noFiles };
  if (flag === "format") {
    if (LISTS.includes(path) || /( ls|history|search|events|df|info|version)$/.test(path)) {
      return choice("table", "json");
    }
    if (OBJECTS.includes(path)) return choice("json");
  }
  return FLAG_RULES[`${path} ${flag}`] ?? (path === "" ? undefined : FLAG_RULES[flag]);
}

/** Options of the driver that was chosen before. */
async function logOptions({ words: { flags } }: Asked): Promise<Candidate[]> {
  const driver = flags.get("log-driver")?.at(-1);
  const named = driver === undefined ? undefined : LOG_OPTIONS[driver];
  const names = named ?? [...new Set(Object.values(LOG_OPTIONS).flat())].sort();
  return names.map((name) => ({ value: `${name}=` }));
}

/** Names of filters, then, behind the name, its values. */
function filterSource(path: string): Source {
  return async (asked) => {
    const filters = FILTERS[path] ?? {};
    const equals = asked.prefix.indexOf("=");
    if (equals < 0) return Object.keys(filters).map((name) => ({ value: `${name}=` }));
    const name = asked.prefix.slice(0, equals);
    const known = Object.hasOwn(filters, name) ? filters[name]! : [];
    const found = typeof known === "string" ? await live(known, asked) : known;
    return found.map((value) => ({ value: `${name}=${value}` }));
  };
}

const LIVE: Readonly<Record<string, Source>> = {
  containers: containers(),
  images,
  networks,
  volumes,
  events: words(...EVENT_NAMES),
};

async function live(kind: string, asked: Asked): Promise<string[]> {
  return (await LIVE[kind]!(asked)).map(({ value }) => value);
}
