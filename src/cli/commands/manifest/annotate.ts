import { GantryError } from "../../../base/index.ts";
import { fullPlatform } from "../../../distribution/index.ts";
import { parseReference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { ListStore } from "./list-store.ts";
import { isKnownPlatform, shown } from "./shared.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] MANIFEST_LIST MANIFEST",
  short: "Say for which platform an image of a list is",
  args: { min: 2, max: 2 },
  flags: {
    arch: { type: "string", usage: "Architecture" },
    os: { type: "string", usage: "Operating system" },
    "os-features": { type: "list", usage: "Features of the operating system" },
    "os-version": { type: "string", usage: "Version of the operating system" },
    variant: { type: "string", usage: "Variant of the architecture" },
  },
  async run(session, { values, args }) {
    const list = parseReference(args[0]!);
    const image = parseReference(args[1]!);
    const store = new ListStore(session);
    const entry = await store.entry(list, image);
    if (entry === undefined) {
      const what = `manifest for image ${shown(image)} does not exist in ${shown(list)}`;
      throw new GantryError("not-found", what);
    }
    const known = entry.Descriptor.platform;
    const features = values["os-features"].flatMap((text) => text.split(","));
    const platform = fullPlatform({
      architecture: values.arch || known?.architecture,
      os: values.os || known?.os,
      "os.version": values["os-version"] || known?.["os.version"],
      "os.features": [...new Set([...(known?.["os.features"] ?? []), ...features])],
      variant: values.variant || known?.variant,
    });
    if (!isKnownPlatform(platform)) {
      throw new GantryError(
        "invalid",
        "manifest entry for image has unsupported os/arch combination: " +
          `${values.os}/${values.arch}`,
      );
    }
    await store.save(list, image, { ...entry, Descriptor: { ...entry.Descriptor, platform } });
    return 0;
  },
});
export default command;
