import { humanSize } from "../../../base/index.ts";
import { listReferrers, type Referrer } from "../../../distribution/index.ts";
import { parseReference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { registryOf } from "../../config/registry-access.ts";
import { printRows, type RowType } from "../../format/table.ts";
import { shortId } from "../../format/text.ts";
import { FORMAT_USAGE } from "../../format/usage.ts";

const TABLE = String.raw`table {{.Digest}}\t{{.ArtifactType}}\t{{.Size}}`;

const command: Command = defineCommand({
  usage: "[OPTIONS] IMAGE",
  short: "Show what refers to an image in its registry: signatures, SBOMs, attestations",
  args: { min: 1, max: 1 },
  flags: {
    "artifact-type": { type: "string", usage: "Show only this type" },
    format: { type: "string", usage: FORMAT_USAGE },
    insecure: { type: "bool", usage: "Allow communication with an insecure registry" },
    "no-trunc": { type: "bool", usage: "Show digests whole" },
    quiet: { type: "bool", shorthand: "q", usage: "Print digests only" },
  },
  async run(session, { values, args }) {
    const reference = parseReference(args[0]!);
    const { repository, tag = "latest" } = reference;
    const registry = await registryOf(session, reference, { insecure: values.insecure });
    const digest =
      reference.digest ??
      (await registry.manifestDigest(repository, tag))?.digest ??
      (await registry.manifest(repository, tag)).digest;
    const type = values["artifact-type"];
    const found = await listReferrers(registry, repository, digest, {
      ...(type ? { artifactType: type } : {}),
    });
    const format = !values.format || values.format === "table" ? TABLE : values.format;
    const row = rowOf(!values["no-trunc"] && !values.quiet);
    await printRows(session.io.stdout, row, found, values.quiet ? "{{.Digest}}" : format);
    return 0;
  },
});
export default command;

function rowOf(truncate: boolean): RowType<Referrer> {
  return {
    goType: "*referrers.Context",
    columns: {
      Digest: { header: "DIGEST", value: ({ digest }) => (truncate ? shortId(digest) : digest) },
      ArtifactType: { header: "TYPE", value: (one) => one.artifactType || one.mediaType },
      MediaType: { header: "MEDIA TYPE", value: ({ mediaType }) => mediaType },
      Size: { header: "SIZE", value: ({ size }) => humanSize(size) },
      Annotations: { header: "ANNOTATIONS", value: ({ annotations }) => annotations },
    },
  };
}
