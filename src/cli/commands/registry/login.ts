import { GantryError, kindOf, messageOf } from "../../../base/index.ts";
import { type Command, defineCommand } from "../../command.ts";
import {
  findLogin,
  HUB_ADDRESS,
  keepLogin,
  type Login,
  serverAddress,
} from "../../config/credentials.ts";
import { PROGRAM, type Session } from "../../session.ts";

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
    const address = serverAddress(args[0] ?? "");
    if (values.password) {
      session.warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    if (values["password-stdin"] && values.password) {
      throw conflict("cannot specify both --password and --password-stdin");
    }
    if (values["password-stdin"] && !values.username) {
      throw new GantryError("invalid", "the --password-stdin option requires --username to be set");
    }
    const given = values["password-stdin"]
      ? (await readAll(session)).replace(/\r?\n$/, "")
      : values.password;
    const kept = await findLogin(session, address).catch((error: Error) => {
      const what = `Unable to retrieve stored credentials for ${address}`;
      session.warn(`${what}, error: ${error.message}.`);
      return undefined;
    });
    const usesKept = !values.username && !given;
    if (usesKept && kept && (await tryKept(session, kept))) return 0;
    const username = values.username.trim();
    const asked = await askMissing(session, { address, username, password: given }, kept);
    session.print(await logIn(session, { serveraddress: address, ...asked }));
    return 0;
  },
});
export default command;

const conflict = (why: string): GantryError =>
  new GantryError("invalid", `conflicting options: ${why}`);

/** Returns the daemon's word of success, after the login has been kept. */
async function logIn(session: Session, login: Login): Promise<string> {
  const client = await session.client();
  const answer = await client.json<{ Status?: string; IdentityToken?: string }>("POST", "/auth", {
    json: login,
  });
  const identitytoken = answer.IdentityToken || login.identitytoken;
  const path = await keepLogin(session, { ...login, ...(identitytoken ? { identitytoken } : {}) });
  if (path !== undefined) {
    session.warn(`\nWARNING! Your credentials are stored unencrypted in '${path}'.`);
    session.warn("Configure a credential helper to remove this warning. See");
    session.warn("https://docs.docker.com/go/credential-store/\n");
  }
  return answer.Status ?? "Login Succeeded";
}

/** Whether what is kept is still good. */
async function tryKept(session: Session, kept: Login): Promise<boolean> {
  if (!kept.identitytoken && !(kept.username && kept.password)) return false;
  const who = kept.username ? ` [Username: ${kept.username}]` : "";
  session.warn(`Authenticating with existing credentials...${who}\n`);
  session.warn(
    ` Info -> To login with a different account, run '${PROGRAM} logout' followed by ` +
      `'${PROGRAM} login'\n\n`,
  );
  try {
    const client = await session.client();
    const answer = await client.json<{ Status?: string }>("POST", "/auth", { json: kept });
    session.print(answer.Status ?? "Login Succeeded");
    return true;
  } catch (error) {
    if (kindOf(error) === "unauthorized") session.warn("Stored credentials invalid or expired");
    else session.warn(`Login did not succeed, error: ${messageOf(error)}`);
    return false;
  }
}

async function askMissing(
  session: Session,
  { address, username, password }: { address: string; username: string; password: string },
  kept: Login | undefined,
): Promise<{ username: string; password: string }> {
  if (username && password) return { username, password };
  if (!session.io.stdin.isTerminal) {
    throw new GantryError(
      "invalid",
      "Error: Cannot perform an interactive login from a non TTY device",
    );
  }
  let name = username;
  if (!name) {
    if (address === HUB_ADDRESS) {
      session.print("Log in with your Docker ID or email address, and a password or access token.");
    }
    const before = kept?.username ?? "";
    const question = before ? `Username (${before}): ` : "Username: ";
    name = (await ask(session, question, { hidden: false })).trim() || before;
    if (!name) throw new GantryError("invalid", "Error: Non-null Username Required");
  }
  const secret = password || (await ask(session, "Password: ", { hidden: true }));
  if (!secret) throw new GantryError("invalid", "Error: Password Required");
  return { username: name, password: secret };
}

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
