import { GantryError, humanSize } from "../../../base/index.ts";
import { jsonValues } from "../../../client/index.ts";
import { parseReference } from "../../../spec/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { registryAuthHeader } from "../../config/credentials.ts";

interface Message {
  item?: {
    kind: string;
    digest: string;
    state: "ok" | "damaged" | "missing" | "repaired";
    bytes: number;
    problem?: string;
    usedBy: string[];
  };
  sums?: { checked: number; bytes: number; damaged: number; repaired: number };
  error?: string;
}

const EXIT_DAMAGED = 1;

const command: Command = defineCommand({
  usage: "[OPTIONS] [IMAGE...]",
  short: "Compare images with their digests",
  long:
    "Read every config, manifest, layer and kept blob of images, and compare each with its digest. " +
    "The exit code is 1 when something is damaged or missing.",
  args: { min: 0 },
  flags: {
    all: { type: "bool", shorthand: "a", usage: "Every image of the store" },
    format: { type: "string", usage: 'Print each item as JSON ("json")' },
    quiet: { type: "bool", shorthand: "q", usage: "Print only what is damaged" },
    remote: { type: "bool", usage: "As the images' registries have them" },
    repair: { type: "bool", usage: "Fetch again what is damaged" },
  },
  async run(session, { values, args }) {
    if (values.all === args.length > 0) {
      throw new GantryError("invalid", "want names of images, or --all");
    }
    if (values.format !== "" && values.format !== "json") {
      throw new GantryError(
        "invalid",
        `unknown format ${JSON.stringify(values.format)}: want json`,
      );
    }
    if (values.remote && values.all) {
      throw new GantryError("invalid", "--remote wants names of images");
    }
    const client = await session.client();
    const first = args[0] === undefined ? undefined : parseReference(args[0]);
    const { body } = await client.call("POST", "/gantry/images/verify", {
      query: {
        names: args.length > 0 ? args : undefined,
        all: values.all ? 1 : undefined,
        remote: values.remote ? 1 : undefined,
        repair: values.repair ? 1 : undefined,
      },
      headers: first ? await registryAuthHeader(session, first.registry) : {},
      signal: session.io.signal,
    });
    let damaged = 0;
    for await (const { item, sums, error } of jsonValues<Message>(body)) {
      if (error !== undefined) throw new GantryError("internal", error);
      if (values.format === "json" && (item ?? sums)) session.print(JSON.stringify(item ?? sums));
      else if (item && !(values.quiet && item.state === "ok")) session.print(lineOf(item));
      else if (sums && !values.quiet) session.print(sumsLine(sums));
      damaged = sums?.damaged ?? damaged;
    }
    return damaged > 0 ? EXIT_DAMAGED : 0;
  },
});
export default command;

function lineOf({ kind, digest, state, bytes, problem, usedBy }: NonNullable<Message["item"]>) {
  const what = `${state.padEnd(8)} ${kind.padEnd(8)} ${digest}`;
  if (state === "ok") return `${what}  ${humanSize(bytes, 3)}`;
  const users = usedBy.length > 0 ? `  (${usedBy.join(", ")})` : "";
  return `${what}${users}${problem ? `: ${problem}` : ""}`;
}

function sumsLine({ checked, bytes, damaged, repaired }: NonNullable<Message["sums"]>): string {
  const mended = repaired > 0 ? `, ${repaired} repaired` : "";
  return `${checked} checked (${humanSize(bytes, 3)}), ${damaged} damaged${mended}`;
}
