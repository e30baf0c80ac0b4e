import { GantryError } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import { findLogin, keepLogin, serverAddress } from "../../config/credentials.ts";
import type { Session } from "../../session.ts";

const passwordBytesMax = 64 << 10;

const command: Command = defineCommand({
  usage: "[OPTIONS] [SERVER]",
  short: "Log in to a registry",
  long: "Log in to a registry.\nWithout a server: Docker Hub.",
  args: { min: 0, max: 1 },
  flags: {
    password: { type: "string", shorthand: "p", usage: "Password or token" },
    "password-stdin": { type: "bool", usage: "Read the password from stdin" },
    username: { type: "string", shorthand: "u", usage: "User name" },
  },
  async run(session, { values, args }) {
    const { io } = session;
    const address = serverAddress(args[0] ?? "");
    if (values.password) {
      session.warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    if (values["password-stdin"] && values.password) {
      throw new GantryError("invalid", "--password and --password-stdin are mutually exclusive");
    }
    if (values["password-stdin"] && !values.username) {
      throw new GantryError("invalid", "Must provide --username with --password-stdin");
    }
    const kept = await findLogin(session, address);
    let username = values.username || kept?.username || "";
    let password = values.password || (values.username ? "" : (kept?.password ?? ""));
    if (values["password-stdin"]) password = (await readAll(session)).replace(/\r?\n$/, "");
    if (!password && !io.stdin.isTerminal) {
      throw new GantryError(
        "invalid",
        "Error: Cannot perform an interactive login from a non TTY device",
      );
    }
    if (!username) username = (await ask(session, "Username: ", { hidden: false })).trim();
    if (!password) password = await ask(session, "Password: ", { hidden: true });
    if (!username) throw new GantryError("invalid", "username is empty");
    if (!password) throw new GantryError("invalid", "password is empty");
    const client = await session.client();
    const answer = await client.json<{ Status?: string; IdentityToken?: string }>("POST", "/auth", {
      json: { username, password, serveraddress: address },
    });
    const identitytoken = answer.IdentityToken ?? "";
    const path = await keepLogin(session, {
      serveraddress: address,
      username,
      password,
      ...(identitytoken ? { identitytoken } : {}),
    });
    if (path !== undefined) {
      session.warn(`\nWARNING! Your credentials are stored unencrypted in '${path}'.`);
      session.warn("Configure a credential helper to remove this warning.\n");
    }
    if (answer.Status) session.print(answer.Status);
    return 0;
  },
});
export default command;

async function readAll(session: Session): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of session.io.stdin.open() as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > passwordBytesMax) throw new GantryError("invalid", "password is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** One line from the terminal; a hidden one is not echoed. */
async function ask(
  { io }: Session,
  question: string,
  { hidden }: { hidden: boolean },
): Promise<string> {
  io.stdout.write(question);
  if (hidden) io.stdin.setRaw(true);
  let line = "";
  try {
    for await (const chunk of io.stdin.open().iterator({ destroyOnReturn: false })) {
      for (const character of (chunk as Buffer).toString("utf8")) {
        if (character === "\r" || character === "\n") return line;
        if (character === "\x03" || character === "\x04") {
          throw new GantryError("cancelled", "", { detail: { exitCode: 130 } });
        }
        line = character === "\x7f" ? line.slice(0, -1) : line + character;
      }
    }
    return line;
  } finally {
    if (hidden) {
      io.stdin.setRaw(false);
      io.stdout.write("\n");
    }
    io.stdin.close();
  }
}
