import { parseReference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { BUILDER_NAME_FLAGS, checkBuilder } from "../build/checked-builder.ts";
import { collect } from "./collected.ts";
import { defaultText, jsonFunction, templateData } from "./inspect-view.ts";
import { Places } from "./places.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] NAME",
  short: "Show details of an image in a registry",
  args: { min: 1, max: 1 },
  flags: {
    ...BUILDER_NAME_FLAGS,
    format: {
      type: "string",
      usage: "Format the output with a Go template (.Name, .Manifest, .Image, .SBOM, .Provenance)",
    },
    raw: { type: "bool", usage: "Show the manifest as it is" },
  },
  async run(session, { values, args }) {
    checkBuilder(values.builder);
    const reference = parseReference(args[0]!);
    const places = new Places(session);
    const manifest = await places.fetch(reference);
    if (values.raw) {
      session.io.stdout.write(manifest.raw); // no new line: the bytes have a digest
      return 0;
    }
    if (!values.format || values.format === "{{.Manifest}}") {
      session.io.stdout.write(defaultText(reference, manifest));
      return 0;
    }
    const { compileTemplate } = await import("../../../template/index.ts");
    const template = compileTemplate(values.format);
    const data = templateData(await collect(places, reference, manifest));
    session.io.stdout.write(template.execute(data, { functions: { json: jsonFunction } }));
    return 0;
  },
});
export default command;
