import { GantryError } from "../../../../base/index.ts";
import { type Command, defineCommand } from "../../../command.ts";
import type { Session } from "../../../session.ts";
import { showAnswer } from "../call.ts";
import { resultMetadata, writeMetadata } from "../metadata-file.ts";
import type { ProgressMode } from "../progress/display.ts";
import { SHARED_FLAGS } from "../request/flags.ts";
import { checkShared, type SharedValues } from "../request/options.ts";
import { attestationShorthand, invalid, parseCall } from "../request/specs.ts";
import { showing } from "../show.ts";
import { readBakeFiles } from "./files.ts";
import { applyOverrides } from "./overrides.ts";
import { listText, planText } from "./print.ts";
import { type Resolved, resolveTargets } from "./resolve.ts";
import { runTargets } from "./run-targets.ts";
import { type BakeTarget, mergeTargets } from "./target.ts";
import { type Switches, targetOptions } from "./target-options.ts";

const command: Command = defineCommand({
  usage: "[OPTIONS] [TARGET...]",
  short: "Build several targets of a file",
  spellings: ["bake", "builder bake", "buildx bake"],
  args: { min: 0 },
  flags: {
    ...SHARED_FLAGS,
    file: { type: "stringArray", shorthand: "f", usage: "Bake file (JSON or compose)" },
    list: { type: "string", usage: 'List "targets" or "variables" instead of building' },
    print: { type: "bool", usage: "Print what would be built, as JSON" },
    set: {
      type: "stringArray",
      usage: 'Override a field of targets ("targetpattern.key=value")',
    },
    var: { type: "stringArray", usage: 'Set a variable ("NAME=value")' },
  },
  async run(session, { values, args }) {
    const { io } = session;
    checkShared(values);
    if (values.debug) {
      throw new GantryError(
        "not-implemented",
        "--debug works on one build: use gantry build --debug",
      );
    }
    const config = await readBakeFiles(io, values.file, variablesOf(values.var, io.env));
    if (values.list !== "") {
      io.stdout.write(listText(config, values.list));
      return 0;
    }
    const resolved = resolveTargets(config, args);
    const overridden = applyOverrides(resolved.targets, values.set, io.env);
    resolved.targets = withFlags(overridden.targets, values);
    const switches = { all: switchesOf(values), own: overridden.switches };
    if (values.print) {
      io.stdout.write(planText(resolved, switches));
      return 0;
    }
    return await build(session, resolved, { values, switches });
  },
});
export default command;

async function build(
  session: Session,
  resolved: Resolved,
  { values, switches }: { values: SharedValues; switches: Switches },
): Promise<number> {
  const options = targetOptions(resolved, {
    environment: session.io.env,
    switches,
    explain: values.explain,
    allow: values.allow,
  });
  const call = parseCall(values.check ? "check" : values.call);
  const isAsked = call !== undefined || [...options.values()].some((one) => one.call);
  const mode = isAsked ? "quiet" : (values.progress as ProgressMode);
  const results = await showing(session, mode, (shown) =>
    runTargets(session, resolved, { options, call, ...shown }),
  );
  let code = 0;
  for (const [name, { response }] of results) {
    const asked = call ?? options.get(name)?.call;
    if (!asked) continue;
    if (results.size > 1) session.print(`${name}\n`);
    code = Math.max(code, showAnswer(session, asked, response));
  }
  if (values["metadata-file"] !== "") {
    const all = await resultMetadata(session, results);
    await writeMetadata(session, values["metadata-file"], all);
  }
  return code;
}

function variablesOf(
  given: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const out: Record<string, string> = {};
  for (const text of given) {
    const equals = text.indexOf("=");
    const name = equals < 0 ? text : text.slice(0, equals);
    const value = equals < 0 ? environment[name] : text.slice(equals + 1);
    if (name === "") throw invalid(`invalid variable ${JSON.stringify(text)}`);
    if (value === undefined) throw invalid(`--var ${name}: it is not set in the environment`);
    out[name] = value;
  }
  return out;
}

/** The flags that mean every target. */
function withFlags(
  targets: ReadonlyMap<string, BakeTarget>,
  values: SharedValues,
): Map<string, BakeTarget> {
  const over: BakeTarget = {};
  if (values["no-cache"]) over["no-cache"] = true;
  if (values.pull) over.pull = true;
  const attest: string[] = [];
  for (const type of ["provenance", "sbom"] as const) {
    if (values[type] !== "") attest.push(attestationShorthand(type, values[type]));
  }
  return new Map(
    [...targets].map(([name, target]) => {
      const kinds = attest.map((text) => /^type=(\w+)/.exec(text)![1]);
      const kept = target.attest?.filter(
        (text) => !kinds.some((kind) => text.includes(`type=${kind}`)),
      );
      const merged = mergeTargets(kept ? { ...target, attest: kept } : target, over);
      return [name, attest.length === 0 ? merged : mergeTargets(merged, { attest })];
    }),
  );
}

function switchesOf({ push, load }: SharedValues): { push: boolean; load: boolean } {
  return { push, load };
}
