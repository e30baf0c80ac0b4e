// What a request gets whose route is known and not served. As dockerd does, what is wrong with the
// request itself is said before what is missing here.

import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import { GantryError } from "../base/index.ts";
import {
  NOT_A_SWARM_MANAGER,
  parseFilters,
  parseQuery,
  type RefusalCheck,
  type RefusedRoute,
  type Schema,
} from "../protocol/index.ts";
import { readJson } from "./body.ts";

export interface RefusedRequest {
  row: RefusedRoute;
  params: Record<string, string>;
  search: string;
  headers: IncomingHttpHeaders;
  body: Readable;
}

const BOOLEAN = /^([01tfTF]|true|TRUE|True|false|FALSE|False)$/;
const ROTATED = ["rotateWorkerToken", "rotateManagerToken", "rotateManagerUnlockKey"];
const anything: Schema<unknown> = { kind: "any" };

/** Why the request is refused; rejects with it where reading the request fails already. */
export async function refuse(request: RefusedRequest): Promise<GantryError> {
  const { row, params } = request;
  if (row.check !== undefined) await check(row.check, request);
  if (row.missing !== undefined) return new GantryError("not-implemented", row.missing);
  if (row.absent !== undefined) {
    const name = params["name"] ?? "";
    // An upgrade needs a tag, and names the one that it takes.
    const shown = row.path.endsWith("/upgrade") && !/:[^/]*$/.test(name) ? `${name}:latest` : name;
    return new GantryError("not-found", `${row.absent} ${JSON.stringify(shown)} not found`);
  }
  return new GantryError("unavailable", row.answer ?? NOT_A_SWARM_MANAGER);
}

async function check(wanted: RefusalCheck, request: RefusedRequest): Promise<void> {
  const query = new URLSearchParams(request.search);
  const read = () => readJson(anything, request.body, request.headers);
  switch (wanted.kind) {
    case "filters":
      return void parseFilters(query.get("filters") ?? undefined);
    case "services":
      parseFilters(query.get("filters") ?? undefined);
      return checkBoolean("status", query.get("status"));
    case "insert-defaults":
      return checkBoolean("insertDefaults", query.get("insertDefaults"));
    case "streams":
      return checkStreams(query);
    case "body":
      return void (await read());
    case "listen-address":
      return checkListenAddress(await read());
    case "timeout":
      return checkTimeout(query.get("timeout") ?? "");
    case "version":
      await read();
      checkVersion(wanted, query.get("version") ?? "");
      for (const name of ROTATED) {
        const text = query.get(name) ?? "";
        if (wanted.of === "swarm" && text !== "" && !BOOLEAN.test(text)) {
          throw new GantryError("invalid", `invalid value for ${name}: ${text}`);
        }
      }
  }
}

/** Throws invalid, in dockerd's words, unless Go would take it for a boolean. */
export function checkBoolean(name: string, text: string | null | undefined): void {
  if (!text || BOOLEAN.test(text)) return;
  const why = `strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`;
  throw new GantryError("invalid", `invalid value for ${name}: ${text}: ${why}`);
}

function checkStreams(query: URLSearchParams): void {
  const { stdout, stderr } = parseQuery({ stdout: "bool", stderr: "bool" }, query);
  if (stdout || stderr) return;
  // dockerd answers this one with status 500.
  throw new GantryError("internal", "Bad parameters: you must choose at least one stream");
}

function checkListenAddress(body: unknown): void {
  const { ListenAddr: address } = (body ?? {}) as { ListenAddr?: unknown };
  if (typeof address === "string" && address !== "") return;
  throw new GantryError("invalid", 'invalid ListenAddr "": invalid empty address');
}

function checkTimeout(text: string): void {
  if (/^[-+]?\d+$/.test(text)) return;
  const message = `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
  throw new GantryError("internal", message); // with status 500, as dockerd does
}

function checkVersion({ of, brief }: { of: string; brief?: boolean }, text: string): void {
  if (/^\d+$/.test(text) && BigInt(text) < 2n ** 64n) return;
  const problem = /^\d+$/.test(text) ? "value out of range" : "invalid syntax";
  const why = `strconv.ParseUint: parsing ${JSON.stringify(text)}: ${problem}`;
  throw new GantryError(
    "invalid",
    brief ? `invalid ${of} version` : `invalid ${of} version '${text}': ${why}`,
  );
}
