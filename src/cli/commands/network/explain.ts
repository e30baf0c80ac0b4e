import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";

interface Explanation {
  container: string;
  port?: string;
  reachable: boolean;
  lines: { about: string; verdict: "ok" | "bad" | "note"; says: string; fix?: string }[];
}

const EXIT_UNREACHABLE = 1;
const MARKS = { ok: "ok  ", bad: "BAD ", note: "note" };

const command: Command = defineCommand({
  usage: "[OPTIONS] CONTAINER [PORT[/PROTOCOL]]",
  short: "Say why a port of a container is reachable, or is not",
  long:
    "Look at what lies between a client and the process that should answer: listener, " +
    "interface, route, published port, firewall. One line each, with what to do about it. The " +
    "exit code is 1 when the port is not reachable.",
  args: { min: 1, max: 2 },
  flags: { format: { type: "string", usage: 'Print JSON ("json")' } },
  async run(session, { values, args }) {
    if (values.format !== "" && values.format !== "json") {
      throw new GantryError(
        "invalid",
        `unknown format ${JSON.stringify(values.format)}: want json`,
      );
    }
    const client = await session.client();
    const query = { container: args[0], port: args[1] };
    const found = await client.json<Explanation>("GET", "/gantry/networks/explain", { query });
    if (values.format === "json") session.print(JSON.stringify(found));
    else print(session, found);
    return found.reachable ? 0 : EXIT_UNREACHABLE;
  },
});
export default command;

function print(session: { print(line: string): void }, found: Explanation): void {
  const width = Math.max(...found.lines.map(({ about }) => about.length));
  for (const { about, verdict, says, fix } of found.lines) {
    session.print(`${MARKS[verdict]}  ${about.padEnd(width)}  ${says}`);
    if (fix) session.print(`${" ".repeat(width + 8)}→ ${fix}`);
  }
  const what = found.port ? `port ${found.port} of ${found.container}` : found.container;
  session.print(`${what} is ${found.reachable ? "reachable" : "not reachable"}`);
}
