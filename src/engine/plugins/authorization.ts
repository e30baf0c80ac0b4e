// Authorization plugins: each is shown every request before it is done and every answer before it
// is sent, in the order of the configuration; the first that does not allow it refuses for all.
// Nothing is allowed by a plugin that is down, slow or talks nonsense.

import { GantryError, type Logger, messageOf } from "../../base/index.ts";
import type { SeenByPlugins, SentToPlugins } from "../contract/plugins.ts";
import { AT_START, type Plugins, QUICK } from "./plugins.ts";

const PEM_COLUMNS = 64;
/** Credentials are not the plugins' business. */
const SECRET_HEADERS = ["authorization", "x-registry-auth", "x-registry-config"];

interface Verdict {
  Allow?: unknown;
  Msg?: unknown;
  Err?: unknown;
}

export class Authorization {
  #plugins: Plugins;
  #names: () => readonly string[];
  #log: Logger;

  /** `names` are read at each request: a reload changes them. */
  constructor(plugins: Plugins, names: () => readonly string[], log: Logger) {
    this.#plugins = plugins;
    this.#names = names;
    this.#log = log;
  }

  isActive(): boolean {
    return this.#names().length > 0;
  }

  /** Rejects unless every plugin allows the request. */
  async request(seen: SeenByPlugins): Promise<void> {
    await this.#ask("AuthZReq", documentOf(seen));
  }

  /** Rejects unless every plugin allows the answer. */
  async answer(seen: SeenByPlugins, { status, headers, body }: SentToPlugins): Promise<void> {
    await this.#ask("AuthZRes", {
      ...documentOf(seen),
      ResponseStatusCode: status,
      ResponseHeaders: headers,
      ...(body !== undefined && { ResponseBody: body.toString("base64") }),
    });
  }

  /** At the start and at a reload: throws when one of them is not there. At the start they may be
   * starting, too: they are waited for. */
  async validate(names: readonly string[], { atStart = false } = {}): Promise<void> {
    for (const name of names) {
      try {
        await this.#plugins.require(name, "authz", atStart ? AT_START : QUICK);
      } catch (cause) {
        const message = `error validating authorization plugin: ${messageOf(cause)}`;
        throw new GantryError("invalid", message, { cause });
      }
    }
  }

  async #ask(method: "AuthZReq" | "AuthZRes", document: object): Promise<void> {
    for (const name of this.#names()) {
      let verdict: Verdict;
      try {
        verdict = await this.#plugins.call<Verdict>(name, "authz", method, document, QUICK);
      } catch (cause) {
        this.#log.error("An authorization plugin failed", { plugin: name, error: cause });
        const message = `plugin ${name} failed with error: ${messageOf(cause)}`;
        throw new GantryError("internal", message, { cause });
      }
      if (verdict.Allow === true) continue;
      const said =
        typeof verdict.Err === "string" && verdict.Err !== "" ? verdict.Err : verdict.Msg;
      const message = `authorization denied by plugin ${name}: ${said ?? ""}`;
      throw new GantryError("forbidden", message);
    }
  }
}

function documentOf(seen: SeenByPlugins): object {
  const { method, uri, headers, body, user, peerCertificates } = seen;
  const certificates = peerCertificates.map((der) => Buffer.from(pem(der)).toString("base64"));
  return {
    ...(user !== "" && { User: user, UserAuthNMethod: "TLS" }),
    RequestMethod: method,
    RequestUri: uri,
    ...(body !== undefined && { RequestBody: body.toString("base64") }),
    RequestHeaders: shownHeaders(headers),
    ...(certificates.length > 0 && { RequestPeerCertificates: certificates }),
  };
}

function pem(der: Buffer): string {
  const lines = der.toString("base64").match(new RegExp(`.{1,${PEM_COLUMNS}}`, "g")) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** As Go writes their names. */
function shownHeaders(headers: SeenByPlugins["headers"]): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || SECRET_HEADERS.includes(name) || name === "host") continue;
    const canonical = name.replace(
      /(^|-)([a-z])/g,
      (_, dash, letter) => dash + letter.toUpperCase(),
    );
    shown[canonical] = Array.isArray(value) ? (value.at(-1) ?? "") : value;
  }
  return shown;
}
