import { type Command, defineCommand } from "../../command.ts";
import { checkContextName } from "../../config/context-store.ts";
import { endpointOf, parsePairs } from "./shared.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTEXT",
  short: "Change a context",
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
  },
  async run(session, { values, changed, args }) {
    const name = args[0]!;
    checkContextName(name);
    const store = session.contexts;
    const meta = store.get(name);
    if (values.description !== "") meta.Metadata.Description = values.description;
    if (changed.has("docker")) {
      const { docker, tls } = endpointOf(session, values.docker);
      meta.Endpoints.docker = docker;
      store.putTls(name, tls);
    }
    store.put(meta);
    session.print(name);
    session.warn(`Successfully updated context ${JSON.stringify(name)}`);
    return 0;
  },
});
export default command;
