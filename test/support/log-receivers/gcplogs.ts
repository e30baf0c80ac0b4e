// Google Cloud Logging's entries:write, and the token endpoint before it, which checks the signed
// assertion of a service account.

import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { jwtVerify } from "jose";
import { type HttpReply, type HttpRequest, listenHttp } from "./http.ts";
import { Inbox, type Receiver } from "./received.ts";

export interface GoogleEntry {
  logName: string;
  insertId: string;
  timestamp?: string;
  jsonPayload?: { message: string; container: Record<string, unknown>; instance?: object };
  resource: { type: string; labels: Record<string, string> };
}
export interface GoogleReceiver extends Receiver<GoogleEntry> {
  readonly url: string;
  /** Writes a service account's key file for this receiver. */
  writeKey(path: string): Promise<void>;
  tokens: number;
}

type Body = { logName?: string; resource?: GoogleEntry["resource"]; entries: GoogleEntry[] };

/** As the service does, an entry whose id is known is kept once. */
export async function receiveGoogle(
  o: { port?: number; before?: (request: HttpRequest) => HttpReply | "silence" | undefined } = {},
): Promise<GoogleReceiver> {
  const inbox = new Inbox<GoogleEntry>();
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const ids = new Set<string>();
  const valid = new Set<string>();
  const give = async (request: HttpRequest): Promise<HttpReply> => {
    const form = new URLSearchParams(String(request.body));
    const { payload } = await jwtVerify(form.get("assertion") ?? "", publicKey, {
      issuer: "robot@project.iam",
      audience: `${http.url}/token`,
      maxTokenAge: "1h",
    });
    if (!String(payload["scope"]).endsWith("/auth/logging.write")) return { status: 403 };
    const token = `token-${++receiver.tokens}`;
    valid.add(token);
    return { status: 200, body: JSON.stringify({ access_token: token, expires_in: 3600 }) };
  };
  const http = await listenHttp(async (request) => {
    if (request.path === "/token") return await give(request);
    const early = o.before?.(request);
    if (early === "silence") return undefined;
    if (early) return early;
    const token = request.headers["authorization"]?.replace(/^Bearer /, "") ?? "";
    if (!valid.has(token)) return { status: 401 };
    if (request.path !== "/v2/entries:write") return { status: 404 };
    const { entries, ...common } = JSON.parse(String(request.body)) as Body;
    for (const entry of entries) {
      const whole = { ...common, ...entry };
      if (!/^projects\/[^/]+\/logs\/[\w-]+$/.test(whole.logName)) inbox.complain("log name");
      const id = `${whole.logName} ${whole.insertId}`;
      if (!ids.has(id)) inbox.put(whole);
      ids.add(id);
    }
    return { status: 200, body: "{}" };
  }, o);
  const receiver: GoogleReceiver = {
    tokens: 0,
    port: http.port,
    url: http.url,
    got: inbox.got,
    complaints: inbox.complaints,
    until: (enough) => inbox.until(enough),
    follow: (take) => inbox.follow(take),
    writeKey: async (path) => {
      const key = {
        type: "service_account",
        client_email: "robot@project.iam",
        private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
        private_key_id: "1",
        token_uri: `${http.url}/token`,
      };
      await writeFile(path, JSON.stringify(key));
    },
    [Symbol.asyncDispose]: () => http.close(),
  };
  return receiver;
}
