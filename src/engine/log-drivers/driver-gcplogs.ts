// The gcplogs driver: entries of Google Cloud Logging, over its REST interface. Every entry has an
// id of its own, so that one that is sent again is kept once there.

import { randomUUID } from "node:crypto";
import { GantryError, messageOf } from "../../base/index.ts";
import { extraAttributes, type LogInfo } from "../logs/attributes.ts";
import type { LogEntry } from "../logs/contract.ts";
import {
  type LogDriver,
  type LogDriverOptions,
  type LogSink,
  RefusedLines,
  type SendOptions,
  type SinkLimits,
} from "./contract.ts";
import { GoogleCredentials, metadataUrl } from "./google-credentials.ts";
import { HttpSender } from "./http-post.ts";
import { driverOptions, refuseUnknown } from "./options.ts";

const OPTIONS = [
  ...["gcp-project", "gcp-log-cmd", "gcp-meta-zone", "gcp-meta-name", "gcp-meta-id"],
  ...["labels", "labels-regex", "env", "env-regex"],
];
const LOG_NAME = "gcplogs-docker-driver";
const LIMITS: SinkLimits = { linesMax: 1000, bytesMax: 1024 * 1024, lingerMs: 1000 };
const METADATA_TIMEOUT_MS = 3000;
/** gcloud's own variable for another address of the service. */
const ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING";

export const gcplogsDriver: LogDriver = {
  name: "gcplogs",
  validate(options) {
    const word = (key: string) =>
      `${JSON.stringify(key)} is not a valid option for the gcplogs driver`;
    refuseUnknown(options, OPTIONS, word);
  },
  open: (c) => new GcplogsSink(c),
};

interface GoogleError {
  status?: string;
  message?: string;
  details?: { fieldViolations?: { field?: string }[] }[];
}

type Instance = { zone?: string; name?: string; id?: string };

class GcplogsSink implements LogSink {
  readonly limits = LIMITS;
  readonly #options: LogDriverOptions;
  readonly #http = new HttpSender();
  readonly #credentials = new GoogleCredentials(this.#http);
  readonly #container: object;
  readonly #run = randomUUID();
  readonly #ids = new WeakMap<LogEntry, string>();
  #count = 0;
  #project = "";
  #instance: Instance | undefined;
  #isKnown = false;

  constructor(c: LogInfo) {
    const options = driverOptions(c);
    const metadata = extraAttributes(c);
    this.#options = options;
    this.#container = {
      name: `/${c.name}`,
      id: c.id,
      imageName: c.imageName,
      imageId: c.imageId,
      created: c.created,
      ...(options["gcp-log-cmd"] === "true" && { command: [c.path, ...c.args].join(" ") }),
      ...(Object.keys(metadata).length > 0 && { metadata }),
    };
  }

  /** Writes an entry to see that it may, as Google's own client does. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#learn(signal);
    try {
      const ping = { logName: this.#logName("ping"), severity: "DEBUG", textPayload: "ping" };
      await this.#write(
        { entries: [{ ...ping, insertId: "ping", resource: this.#resource() }] },
        signal,
      );
    } catch (cause) {
      signal.throwIfAborted();
      const what = "unable to connect or authenticate with Google Cloud Logging";
      throw new GantryError("unavailable", `${what}: ${messageOf(cause)}`, { cause });
    }
  }

  async send(lines: readonly LogEntry[], { signal }: SendOptions): Promise<number> {
    await this.#learn(signal);
    const entries = lines.map((line) => ({
      timestamp: rfc3339(line.timeNano),
      insertId: this.#idOf(line),
      jsonPayload: {
        ...(this.#instance && { instance: this.#instance }),
        container: this.#container,
        message: line.text.toString(),
      },
    }));
    const common = { logName: this.#logName(LOG_NAME), resource: this.#resource() };
    await this.#write({ ...common, entries, partialSuccess: false }, signal);
    return lines.length;
  }

  close(): void {
    this.#http.close();
  }

  #idOf(line: LogEntry): string {
    const known = this.#ids.get(line);
    if (known !== undefined) return known;
    const id = `${this.#run}-${String(this.#count++).padStart(12, "0")}`;
    this.#ids.set(line, id);
    return id;
  }

  #logName(log: string): string {
    return `projects/${this.#project}/logs/${log}`;
  }

  #resource(): object {
    const { id: instance_id = "", zone = "" } = this.#instance ?? {};
    return this.#instance
      ? { type: "gce_instance", labels: { project_id: this.#project, instance_id, zone } }
      : { type: "global", labels: { project_id: this.#project } };
  }

  async #write(body: object, signal: AbortSignal): Promise<void> {
    const base =
      process.env[ENDPOINT_VARIABLE] || `https://logging.${await this.#credentials.universe()}/`;
    const token = await this.#credentials.accessToken(signal);
    const answer = await this.#http.call({
      method: "POST",
      url: new URL("v2/entries:write", base).href,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    if (answer.status === 200) return;
    if (answer.status === 401) this.#credentials.forget();
    const what = `googleapi: Error ${answer.statusText}: ${answer.body.subarray(0, 1024)}`;
    if (answer.status === 400 && isOfEntries(answer.body)) throw new RefusedLines(what);
    throw new GantryError("unavailable", what);
  }

  /** The project and the machine: by options, or by the metadata server where there is one. */
  async #learn(signal: AbortSignal): Promise<void> {
    if (this.#isKnown) return;
    const { "gcp-meta-zone": zone, "gcp-meta-name": name, "gcp-meta-id": id } = this.#options;
    const given = { ...(zone && { zone }), ...(name && { name }), ...(id && { id }) };
    const project = this.#options["gcp-project"];
    const machine = await this.#machine(signal);
    this.#project = project || machine?.project || "";
    if (this.#project === "") {
      const what = "No project was specified and couldn't read project from the metadata server.";
      throw new GantryError("invalid", `${what} Please specify a project`);
    }
    this.#instance = machine?.instance ?? (Object.keys(given).length > 0 ? given : undefined);
    this.#isKnown = true;
  }

  async #machine(
    signal: AbortSignal,
  ): Promise<{ project: string; instance: Instance } | undefined> {
    const late = AbortSignal.any([signal, AbortSignal.timeout(METADATA_TIMEOUT_MS)]);
    const read = async (path: string) => {
      const headers = { "metadata-flavor": "Google" };
      const answer = await this.#http.call({
        method: "GET",
        url: metadataUrl(path),
        headers,
        signal: late,
      });
      return answer.status === 200 ? answer.body.toString().trim() : "";
    };
    try {
      const [project, zone, name, id] = await Promise.all([
        read("project/project-id"),
        read("instance/zone"),
        read("instance/name"),
        read("instance/id"),
      ]);
      return { project, instance: { zone: zone.replace(/^.*\//, ""), name, id } };
    } catch {
      signal.throwIfAborted();
      return undefined; // no machine of Google's
    }
  }
}

/** Whether a 400 is about an entry (one that is wrong, or too large), or about all there will be: a
 * project, a name or a resource that is set wrongly. Then lines wait until that is mended. */
function isOfEntries(body: Buffer): boolean {
  try {
    const { error } = JSON.parse(body.toString()) as { error?: GoogleError };
    const fields = (error?.details ?? []).flatMap(({ fieldViolations = [] }) =>
      fieldViolations.flatMap(({ field }) => (field === undefined ? [] : [field])),
    );
    if (error?.status !== "INVALID_ARGUMENT") return false;
    if (fields.length > 0) return fields.every((field) => field.startsWith("entries"));
    return /\b(entry|entries)\b|\btoo large\b|\bexceeds\b/i.test(error.message ?? "");
  } catch {
    return false; // not Google's words: a proxy, perhaps
  }
}

function rfc3339(timeNano: bigint): string {
  const time = new Date(Number(timeNano / 1_000_000n)).toISOString();
  return `${time.slice(0, -5)}.${String(timeNano % 1_000_000_000n).padStart(9, "0")}Z`;
}
