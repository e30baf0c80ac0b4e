// One step against one daemon, and what came of it: a shell line as a person would type it, or a
// request of the API, whose streams are taken apart. Outcomes are plain data, ready to be kept.

import { readFile } from "node:fs/promises";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { runRaw } from "../e2e/process.ts";
import { asJson, type Json, type Normaliser } from "./normalise.ts";
import type { Step } from "./script.ts";

const STEP_DEADLINE_MS = 60_000;
const HEADERS = ["content-type", "ostype", "docker-experimental", "allow", "location"];
/** The API of the client and the daemon that are recorded. */
const API_VERSION = "1.51";

/** A stream or a body: JSON when it is that, else its lines. */
export type Content = { json: Json[] } | string[];
export type Outcome = {
  exit?: number;
  status?: number;
  headers?: Record<string, string>;
  out?: Content;
  err?: Content;
};

export type Place = {
  socket: string;
  /** Where shell lines run. */
  folder: string;
  env: Record<string, string>;
};

export async function perform(step: Step, place: Place, norm: Normaliser): Promise<Outcome> {
  const outcome = step.request ? await ask(step, place, norm) : await type(step, place, norm);
  if (!step.flags.has("status")) return outcome;
  const { exit, status } = outcome;
  return { ...(exit !== undefined && { exit }), ...(status !== undefined && { status }) };
}

async function type(step: Step, place: Place, norm: Normaliser): Promise<Outcome> {
  const { code, stdout, stderr } = await runRaw("sh", ["-c", `cd "$W"; ${step.line}`], {
    env: place.env,
    deadlineMs: STEP_DEADLINE_MS,
  });
  const out = stdout.toString("utf8");
  if (step.as) place.env[step.as] = out.trim();
  return {
    exit: code,
    ...(!step.flags.has("noout") && { out: content(out, step, norm) }),
    ...(!step.flags.has("noerr") && { err: content(stderr, step, norm) }),
  };
}

function content(text: string, step: Step, norm: Normaliser): Content {
  const json = asJson(text);
  if (json === undefined) return norm.text(text, step.flags);
  return { json: json.map((value) => norm.json(value, step.flags)) };
}

async function ask(step: Step, place: Place, norm: Normaliser): Promise<Outcome> {
  const fill = (text: string) => text.replaceAll(/\$(\w+)/g, (all, name) => place.env[name] ?? all);
  const { method, path, body } = step.request!;
  const sent = body?.startsWith("<")
    ? await readFile(join(place.folder, body.slice(1).trim()))
    : body && Buffer.from(fill(body));
  const headers: Record<string, string | number> = sent ? { "Content-Length": sent.length } : {};
  const sort = step.type ?? (sent ? "application/json" : undefined);
  if (sort) headers["Content-Type"] = sort;
  if (/\/(attach|exec\/[^/]+\/start)(\?|$)/.test(path)) {
    Object.assign(headers, { Connection: "Upgrade", Upgrade: "tcp" });
  }
  const whole = /^\/(_ping|v\d)/.test(path) ? path : `/v${step.api ?? API_VERSION}${path}`;
  const request = httpRequest({ socketPath: place.socket, method, path: fill(whole), headers });
  request.end(sent);
  const { response, data } = await answer(request);
  const text = data.toString("utf8");
  const shown = readBody(response, data, text);
  const id = asJson(text)?.[0] as { Id?: string; ID?: string } | undefined;
  if (step.as) place.env[step.as] = String(id?.Id ?? id?.ID ?? "");
  return {
    status: response.statusCode!,
    headers: keptHeaders(response, norm, step),
    ...(!step.flags.has("noout") && { out: content(shown, step, norm) }),
  };
}

async function answer(
  request: ClientRequest,
): Promise<{ response: IncomingMessage; data: Buffer }> {
  const signal = AbortSignal.timeout(STEP_DEADLINE_MS);
  return await new Promise((resolve, reject) => {
    signal.onabort = () => {
      request.destroy();
      reject(new Error(`No end of ${request.method} ${request.path}`));
    };
    const collect = (response: IncomingMessage, from: IncomingMessage | Duplex, head?: Buffer) => {
      const chunks: Buffer[] = head ? [head] : [];
      from.on("data", (chunk: Buffer) => chunks.push(chunk));
      from.on("error", reject);
      from.on("end", () => resolve({ response, data: Buffer.concat(chunks) }));
    };
    request.on("error", reject);
    request.on("response", (response) => collect(response, response));
    request.on("upgrade", (response, socket, head) => collect(response, socket, head));
  });
}

function readBody(response: IncomingMessage, data: Buffer, text: string): string {
  const type = response.headers["content-type"] ?? "";
  if (/x-tar/.test(type) || data.toString("latin1", 257, 262) === "ustar") return "(an archive)\n";
  const framed = data.length >= 8 && data[0]! <= 2 && data.readUIntBE(1, 3) === 0;
  if (!/stream/.test(type) || !framed) return text;
  let out = "";
  for (let at = 0; at + 8 <= data.length; ) {
    const size = data.readUInt32BE(at + 4);
    const part = data.toString("utf8", at + 8, at + 8 + size).replace(/\n$/, "");
    const from = ["in", "out", "err"][data[at]!];
    for (const line of part.split("\n")) out += `${from}: ${line}\n`; // a frame may have several
    at += 8 + size;
  }
  return out;
}

function keptHeaders(
  { headers }: IncomingMessage,
  norm: Normaliser,
  { flags }: Step,
): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of HEADERS) {
    const value = headers[name];
    if (value !== undefined) kept[name] = String(value);
  }
  const stat = headers["x-docker-container-path-stat"];
  if (stat !== undefined) {
    const value = JSON.parse(Buffer.from(String(stat), "base64").toString("utf8"));
    delete value.mtime;
    kept["x-docker-container-path-stat"] = JSON.stringify(norm.json(value, flags));
  }
  return kept;
}
