// A command of swarm's: it reads its flags as docker does, asks whether the daemon is in a swarm,
// and ends with what a node in none answers. Only a daemon in no swarm is asked for anything that
// changes something: to a swarm of somebody else nothing must happen half.

import {
  type FlagSpec,
  type FlagSpecs,
  GantryError,
  messageOf,
  parseDuration,
} from "../../../base/index.ts";
import type { Client } from "../../../client/index.ts";
import { type Command, exitError } from "../../command.ts";
import { filterFlag } from "../../flags/filters.ts";
import type { Session } from "../../session.ts";
import { flagWords } from "./flag-words.ts";
import type { SwarmRow } from "./groups.ts";

/** Types of the table that our flags have too; what else there is, is text. */
const TYPES = ["string", "int", "int64", "uint", "uint32", "uint64", "float", "duration"];
const MORE_TYPES = ["bytes", "list", "stringSlice"];
const FLAG = /^(?:-(\w)\/)?--([\w-]+)(?::([\w-]+))?(?:=(.*))?$/;
const NOT_A_MANAGER = /This node is not a swarm manager/;

type Asked = { session: Session; client: Client; args: readonly string[] };

/** What a verb does before, or instead of, asking whether there is a swarm. */
const SPECIAL: Record<string, (asked: Asked) => Promise<void>> = {
  "swarm init": ({ client }) => refusedBy(client, "/swarm/init", { ListenAddr: "0.0.0.0:2377" }),
  "swarm join": async ({ client, args }) => {
    const body = { ListenAddr: "0.0.0.0:2377", RemoteAddrs: args };
    await refusedBy(client, "/swarm/join", body);
  },
  "swarm leave": ({ client }) => refusedBy(client, "/swarm/leave"),
  "swarm join-token": async ({ args }) => {
    if (args[0] === "worker" || args[0] === "manager") return;
    throw new GantryError("invalid", `unknown role ${args[0]}`);
  },
  "swarm unlock": async ({ client }) => {
    if (await isInSwarm(client)) return;
    throw new GantryError("unavailable", "Error: This node is not part of a swarm");
  },
  "service scale": async ({ args }) => {
    for (const word of args) {
      if (word.includes("=")) continue;
      const message = `invalid scale specifier '${word}'`;
      throw exitError(1, message, { help: true });
    }
  },
};

/** The command of a row. */
export function swarmCommand({ path, usage, args, short, flags }: SwarmRow): Command {
  return {
    usage,
    short,
    args,
    stopAtArgument: path === "service create",
    flags: Object.fromEntries(flags.map(flagOf)) as FlagSpecs,
    async run(session, { values, args: given, changed }) {
      if (path === "swarm update" && changed.size === 0) return await showHelp(session, this);
      const client = await session.client();
      const shows = path.endsWith(" inspect") && !values["format"] && !values["pretty"];
      try {
        await SPECIAL[path]?.({ session, client, args: given });
        await client.json("GET", "/swarm");
      } catch (error) {
        if (shows && NOT_A_MANAGER.test(messageOf(error))) session.print("[]");
        throw worded(path, given, error);
      }
      throw new GantryError(
        "not-implemented",
        "gantry cannot manage a swarm: use docker's own command line with this daemon",
      );
    },
  };
}

/** A request that changes something goes to a daemon in no swarm only, which refuses it. */
async function refusedBy(client: Client, path: string, json?: object): Promise<void> {
  if (await isInSwarm(client)) return;
  await client.empty("POST", path, json === undefined ? {} : { json });
}

async function isInSwarm(client: Client): Promise<boolean> {
  const info = await client.json<{ Swarm?: { LocalNodeState?: string } }>("GET", "/info");
  return (info.Swarm?.LocalNodeState ?? "inactive") !== "inactive";
}

function worded(path: string, args: readonly string[], error: unknown): unknown {
  if (!NOT_A_MANAGER.test(messageOf(error))) return error;
  const first = path === "service scale" ? `${args[0]!.split("=")[0]}: ` : "";
  const before = path === "swarm unlock-key" ? "could not fetch unlock key: " : first;
  if (before === "") return error;
  return new GantryError("unavailable", `${before}${messageOf(error)}`, { cause: error });
}

async function showHelp(session: Session, command: Command): Promise<number> {
  const { commandHelp } = await import("../../help.ts");
  session.io.stderr.write(commandHelp("swarm update", command));
  return 0;
}

function flagOf(word: string): [string, FlagSpec] {
  const [, shorthand, name = "", type, value] = FLAG.exec(word) ?? [];
  const usage = flagWords(name);
  const letter = shorthand === undefined ? {} : { shorthand };
  if (type === undefined) {
    return [name, { type: "bool", default: value === "true", usage, ...letter }];
  }
  if (type === "filter") return [name, filterFlag(usage, shorthand)];
  const known = [...TYPES, ...MORE_TYPES].includes(type);
  const kind = known ? type : value === undefined ? "list" : "string";
  const given = value === undefined ? {} : { default: defaultOf(kind, value) };
  const valueName = known ? {} : { valueName: type };
  return [name, { type: kind, usage, ...letter, ...given, ...valueName } as FlagSpec];
}

function defaultOf(type: string, text: string): unknown {
  if (type === "string") return text;
  return type === "duration" ? parseDuration(text) : Number(text);
}
