// One request to a plugin: JSON over HTTP, always POST. A plugin that does not listen is tried
// again with growing pauses, as it may be starting; one that has begun to answer is not, because
// what was asked may have been done. Answers are bounded in size and time.

import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { errnoOf, GantryError, messageOf } from "../../base/index.ts";
import type { PluginAddress } from "./find-plugin.ts";

const MIME = "application/vnd.docker.plugins.v1.2+json";
const answerBytesMax = 8 * 1024 * 1024;
/** The first of the pauses between two tries; each is twice the one before. */
export const firstPauseMs = 100;
/** Nobody is asked whether he begins to listen any more. */
const NOT_LISTENING = ["ENOENT", "ECONNREFUSED"];

export interface CallLimits {
  /** For one attempt, from the connection to the last byte of the answer. */
  answerMs: number;
  /** How long a plugin that does not listen is waited for. */
  connectMs: number;
  /** How long one is waited for that has neither socket nor description yet; without it, not. */
  appearMs?: number;
}

/** Sends a document and returns the one that comes back. */
export async function callPlugin<T>(
  address: PluginAddress,
  method: string,
  body: unknown,
  limits: CallLimits,
): Promise<T> {
  const until = Date.now() + limits.connectMs;
  for (let pauseMs = firstPauseMs; ; pauseMs *= 2) {
    try {
      return parseAnswer<T>(method, await exchange(address, method, body, limits.answerMs));
    } catch (error) {
      const isDown = NOT_LISTENING.includes(errnoOf(error) ?? "");
      if (!isDown || Date.now() + pauseMs > until) throw worded(address, method, error);
    }
    await delay(pauseMs);
  }
}

function worded(address: PluginAddress, method: string, error: unknown): unknown {
  if (error instanceof GantryError) return error;
  const where = address.kind === "unix" ? address.path : `${address.host}:${address.port}`;
  const why: Record<string, string> = {
    ENOENT: "no such file or directory",
    ECONNREFUSED: "connection refused",
    ECONNRESET: "connection reset by peer",
  };
  const reason = why[errnoOf(error) ?? ""] ?? messageOf(error);
  return new GantryError(
    "internal",
    `${method}: the plugin at ${where} does not answer: ${reason}`,
    {
      cause: error,
    },
  );
}

function parseAnswer<T>(method: string, answer: { status: number; text: string }): T {
  const { status, text } = answer;
  let document: unknown;
  try {
    document = text.trim() === "" ? {} : JSON.parse(text);
  } catch (cause) {
    if (status === 200) {
      const message = `${method}: the plugin's answer is no JSON`;
      throw new GantryError("internal", message, { cause });
    }
  }
  if (status === 200) return (document ?? {}) as T;
  const said = (document as { Err?: unknown } | undefined)?.Err;
  const message = typeof said === "string" && said !== "" ? said : text.trim();
  throw new GantryError("internal", `${method}: ${message || `status ${status}`}`, {
    detail: { pluginStatus: status },
  });
}

function exchange(
  address: PluginAddress,
  method: string,
  body: unknown,
  answerMs: number,
): Promise<{ status: number; text: string }> {
  const content = Buffer.from(JSON.stringify(body ?? {}));
  const options: RequestOptions = {
    method: "POST",
    path: `/${method}`,
    agent: false,
    signal: AbortSignal.timeout(answerMs),
    headers: { Accept: MIME, "Content-Type": MIME, "Content-Length": content.length },
  };
  return new Promise((resolve, reject) => {
    const onAnswer = (answer: IncomingMessage): void => {
      readAnswer(answer, method).then(resolve, reject);
    };
    const sent = send(address, options, onAnswer);
    sent.on("error", (error) => {
      const isLate = error.name === "AbortError" || error.name === "TimeoutError";
      const message = `${method}: the plugin does not answer within ${answerMs / 1000} s`;
      reject(isLate ? new GantryError("timeout", message, { cause: error }) : error);
    });
    sent.end(content);
  });
}

function send(
  address: PluginAddress,
  options: RequestOptions,
  onAnswer: (answer: IncomingMessage) => void,
): ReturnType<typeof httpRequest> {
  if (address.kind === "unix") {
    const headers = { ...options.headers, Host: "plugin.moby.localhost" };
    return httpRequest({ ...options, headers, socketPath: address.path }, onAnswer);
  }
  const { host, port, tls } = address;
  if (tls === undefined) return httpRequest({ ...options, host, port }, onAnswer);
  const { verify, ca, cert, key } = tls;
  const material = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  return httpsRequest(
    { ...options, host, port, rejectUnauthorized: verify, ...material },
    onAnswer,
  );
}

async function readAnswer(
  answer: IncomingMessage,
  method: string,
): Promise<{ status: number; text: string }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer) {
    bytes += (chunk as Buffer).length;
    if (bytes > answerBytesMax) {
      answer.destroy();
      const message = `${method}: the plugin's answer is larger than ${answerBytesMax} bytes`;
      throw new GantryError("internal", message);
    }
    chunks.push(chunk as Buffer);
  }
  return { status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") };
}
