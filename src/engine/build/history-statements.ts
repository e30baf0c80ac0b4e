// The provenance of a build for the history, one a platform, as BuildKit keeps it: whatever was
// asked for, with every step (mode=max), and as a predicate without a subject.

import { digestOf, writePlatform } from "../../spec/index.ts";
import { withoutUser } from "./history.ts";
import type { BuildJob, BuiltImage, KeptStatement } from "./job.ts";
import { type BuildFacts, provenanceOf } from "./outputs/index.ts";

export function statementsFor(
  job: BuildJob,
  images: readonly BuiltImage[],
  facts: BuildFacts,
): KeptStatement[] {
  const builder = job.attest.get("provenance")?.["builder-id"];
  // BuildKit's switch between the forms of SLSA.
  const isLater = isTrue(job.buildArgs["BUILDKIT_HISTORY_PROVENANCE_V1"]);
  const attrs = {
    ...{ mode: "max", version: isLater ? "v1" : "v0.2" },
    ...(builder !== undefined && { "builder-id": builder }),
  };
  const args = Object.entries(job.buildArgs).map(([name, value]) => [name, withoutUser(value)]);
  const told = { ...job, buildArgs: Object.fromEntries(args) };
  const isOne = images.length === 1 && !isTrue(job.attrs?.["multi-platform"]);
  return images.map((image) => {
    const { predicateType, predicate } = provenanceOf({ job: told, facts }, image, attrs);
    const text = JSON.stringify(predicate, undefined, 2);
    const about = { digest: digestOf(text), size: Buffer.byteLength(text), predicateType };
    return { about: isOne ? about : { ...about, platform: writePlatform(image.platform) }, text };
  });
}

const isTrue = (text: string | undefined): boolean => /^(1|t|true)$/i.test(text ?? "");
