// The checks of a classic build, whose door has nowhere to tell of findings: they are asked only
// where the file says that findings are errors.

import { type BuildGraph, lintDockerfile, lintViolation } from "../../build/index.ts";

/** `# check=error=true`: what the checks find fails the build; otherwise they are not asked. */
export function refuseFindings({ plan, stages }: BuildGraph): void {
  const { file, buildArgs, buildPlatform, targetPlatform, target } = plan;
  const written = file.directives.find(({ name }) => name === "check")?.value;
  if (!/error/.test(buildArgs["BUILDKIT_DOCKERFILE_CHECK"] ?? written ?? "")) return;
  const bases = new Map(
    stages.map(({ planned, image }) => [JSON.stringify(planned.base), image?.document]),
  );
  const result = lintDockerfile(
    file.source.bytes,
    {
      ...{ buildArgs, buildPlatform, targetPlatform, target: String(target) },
      baseOf: (source) => bases.get(JSON.stringify(source)),
    },
    file.source.name,
  );
  const violation = lintViolation(result);
  if (violation) throw violation;
}
