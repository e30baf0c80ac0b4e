// Commands of Docker that have no meaning here, each with the reason why and what to do instead.
// docs/reference/refused.tsv has the same rows, for the tool that counts.

const ONE_BUILDER =
  "there is one builder, the daemon's, and it builds for every platform and in every form of " +
  "output: there is nothing to create. Leave `buildx create` out, and --builder with it";
const STEP_DEBUGGER =
  "it is an experiment of buildx; `gantry build --debug` opens a shell in a step that failed";
const POLICIES = "policies of builds (--policy) are not supported";
const FOR_DESKTOP = "it works with Docker Desktop only";

const REFUSED: Readonly<Record<string, string>> = {
  trust:
    "Docker Content Trust needs a Notary v1 server, which Docker itself has given up: it is not " +
    "supported; sign images with cosign or notation, and pin them by digest (NAME@sha256:…)",
  "buildx create": ONE_BUILDER,
  "buildx dap": STEP_DEBUGGER,
  "buildx debug": STEP_DEBUGGER,
  "buildx policy": POLICIES,
  "buildx history export": `its archives are for Docker Desktop: ${FOR_DESKTOP}`,
  "buildx history import": FOR_DESKTOP,
  "buildx history open": `${FOR_DESKTOP}; \`gantry buildx history inspect\` shows a build`,
  "buildx history trace":
    "it needs a server for traces; `gantry buildx history logs` has the times",
  "buildx install": "`gantry build` is buildx's build already",
  "buildx uninstall": "`gantry build` is buildx's build, and there is no other",
};

/** Why the command is refused; undefined where it is not. */
export function refusalOf(path: string): string | undefined {
  const known = path.replace(/^builder /, "buildx ");
  if (!Object.hasOwn(REFUSED, known)) return undefined;
  return `${path} is not supported: ${REFUSED[known]!}`;
}
