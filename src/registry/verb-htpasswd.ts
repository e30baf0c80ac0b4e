// `gantry registry htpasswd USER`: reads a password from stdin and prints the line of a password
// file, or puts it into one in place of the user's old line. The password is never an argument,
// where every process of the machine could read it.

import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { defineFlags, errnoOf, GantryError, writeFileAtomic } from "../base/index.ts";
import { hashPassword } from "./access/index.ts";
import type { Verb } from "./main.ts";

const PASSWORD_BYTES_MAX = 72; // bcrypt looks at no more
const COST_MIN = 5;
const COST_MAX = 17;

const flags = defineFlags({
  cost: { type: "int", default: 10, valueName: "N", usage: "Cost of the hash (default 10)" },
  file: {
    type: "string",
    valueName: "FILE",
    usage: "Put the line into this file instead of printing it",
  },
});

export const verb: Verb<typeof flags> = {
  usage: "USER [--file FILE] < PASSWORD",
  short: "Make a line of a password file; the password comes from stdin",
  flags,
  arguments: { min: 1, max: 1 },
  async run({ values, args }) {
    const user = args[0]!;
    if (!/^[^:\s\p{C}]{1,128}$/u.test(user)) {
      throw new GantryError("invalid", "a user's name has no colon, space or control character");
    }
    if (values.cost < COST_MIN || values.cost > COST_MAX) {
      throw new GantryError("invalid", `--cost is from ${COST_MIN} to ${COST_MAX}`);
    }
    if (process.stdin.isTTY) process.stderr.write("Password, then Enter and Ctrl-D:\n");
    const password = (await text(process.stdin)).replace(/\r?\n$/, "");
    const length = Buffer.byteLength(password);
    if (length === 0 || length > PASSWORD_BYTES_MAX) {
      throw new GantryError("invalid", `a password has 1 to ${PASSWORD_BYTES_MAX} bytes`);
    }
    const line = `${user}:${await hashPassword(password, values.cost)}`;
    if (values.file === "") process.stdout.write(`${line}\n`);
    else await replaceLine(values.file, user, line);
    return 0;
  },
};

async function replaceLine(file: string, user: string, line: string): Promise<void> {
  const old = await readFile(file, "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  });
  const others = old.split("\n").filter((one) => one !== "" && !one.startsWith(`${user}:`));
  await writeFileAtomic(file, `${[...others, line].join("\n")}\n`, { mode: 0o600 });
}
