import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { type ContextMeta, checkContextName } from "../../config/context-store.ts";
import { DEFAULT_DESCRIPTION, endpointOf, parsePairs, stored } from "./shared.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTEXT",
  short: "Create a context",
  args: { min: 1, max: 1 },
  flags: {
    description: { type: "string", usage: "What it is for" },
    docker: {
      type: "custom",
      valueName: "stringToString",
      parse: parsePairs,
      default: {} as Record<string, string>,
      usage: "The daemon: host=…, ca=…, cert=…, key=…, skip-tls-verify=…, or from=CONTEXT",
    },
    from: { type: "string", usage: "Copy this context" },
  },
  async run(session, { values, changed, args }) {
    const name = args[0]!;
    const store = session.contexts;
    checkContextName(name);
    if (store.has(name)) {
      throw new GantryError("conflict", `context ${JSON.stringify(name)} already exists`);
    }
    if (values.from !== "" && changed.has("docker")) {
      throw new GantryError("invalid", "cannot use --docker flag when --from is set");
    }
    const base =
      values.from !== "" || !changed.has("docker")
        ? stored(session, values.from || session.contextName)
        : undefined;
    const made = changed.has("docker") ? endpointOf(session, values.docker) : undefined;
    const copied = base?.meta.Name === "default" ? DEFAULT_DESCRIPTION : undefined;
    const description = values.description || (base?.meta.Metadata.Description ?? copied);
    const meta: ContextMeta = {
      Name: name,
      Metadata: description ? { Description: description } : {},
      Endpoints: { docker: made?.docker ?? base!.docker },
    };
    store.put(meta);
    store.putTls(name, made?.tls ?? base!.tls);
    session.print(name);
    session.warn(`Successfully created context ${JSON.stringify(name)}`);
    return 0;
  },
});
export default command;
