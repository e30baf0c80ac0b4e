// Where a build's contexts and its Dockerfile come from, as BuildKit's Dockerfile front end reads
// the attributes "context", "context:<name>", "filename" and those around them.

import { Readable } from "node:stream";
import { GantryError } from "../base/index.ts";
import type { BuildJob, BuildSession, ContextSource } from "../engine/index.ts";
import { type Attributes, prefixed } from "./job-attributes.ts";

const DOCKERFILE = "dockerfile";
const UPLOAD_HOST = "buildkit-session";

export interface SourcePlace {
  attributes: Attributes;
  session: BuildSession | undefined;
  /** Another session of the client's, by its id. */
  otherSession(id: string): Promise<BuildSession>;
  /** A front end's input: the outcome of another build. */
  input(name: string): ContextSource;
  signal: AbortSignal;
}

export async function readSources(
  place: SourcePlace,
): Promise<Pick<BuildJob, "contexts" | "dockerfile">> {
  const { attributes } = place;
  const contexts = new Map<string, ContextSource>();
  const address = attributes["context"] ?? "";
  const subfolder = attributes["contextsubdir"] ?? "";
  const main =
    address === ""
      ? await local(place, attributes["contextkey"] || "context")
      : within(await source(place, "", address), subfolder);
  if (address === "" && subfolder !== "") throw noSubfolder();
  contexts.set("", main);
  for (const [name, value] of Object.entries(prefixed(attributes, "context:"))) {
    contexts.set(name, await source(place, name, value));
  }
  const path = attributes["filename"] || "Dockerfile";
  const key = attributes["dockerfilekey"];
  // A remote context has its own Dockerfile, unless the client says that it sends one.
  const isRemote = main.kind !== "session" && main.kind !== "empty";
  if (key === undefined && isRemote) return { contexts, dockerfile: { context: "", path } };
  contexts.set(DOCKERFILE, await local(place, key || DOCKERFILE));
  return { contexts, dockerfile: { context: DOCKERFILE, path } };
}

/** A folder of the client; one build's folders may be another session's. */
async function local(place: SourcePlace, name: string): Promise<ContextSource> {
  const id = place.attributes[`local-sessionid:${name}`];
  const session = id ? await place.otherSession(id) : place.session;
  if (!session) throw new GantryError("invalid", "no active sessions");
  return { kind: "session", session, name };
}

async function source(place: SourcePlace, name: string, value: string): Promise<ContextSource> {
  const colon = value.indexOf(":");
  const scheme = colon < 0 ? "" : value.slice(0, colon);
  const rest = value.slice(colon + 1);
  if (scheme === "local") return await local(place, rest.replace(/^\/\//, ""));
  if (scheme === "docker-image") return { kind: "image", reference: rest.replace(/^\/\//, "") };
  if (scheme === "input") return place.input(rest);
  if (scheme === "oci-layout") {
    if (!place.session) throw new GantryError("invalid", "no active sessions");
    return { kind: "oci-layout", session: place.session, reference: rest.replace(/^\/\//, "") };
  }
  if (isUpload(value)) return { kind: "stream", bytes: upload(place, value) };
  if (isGit(value)) return { kind: "git", url: value };
  if (scheme === "http" || scheme === "https") return { kind: "http", url: value };
  const what = name === "" ? "the build context" : `the build context ${JSON.stringify(name)}`;
  throw new GantryError(
    "invalid",
    `unsupported context source ${JSON.stringify(value)} of ${what}`,
  );
}

/** As docker names repositories. */
export function isGit(address: string): boolean {
  if (/^(git:\/\/|git@|ssh:\/\/|github\.com\/)/.test(address)) return true;
  return /^https?:\/\/[^#?]*\.git([#?].*)?$/.test(address);
}

function within(found: ContextSource, subfolder: string): ContextSource {
  if (subfolder === "") return found;
  if (found.kind !== "git") throw noSubfolder();
  const [base = "", fragment = ""] = found.url.split("#", 2);
  const [ref = "", folder = ""] = fragment.split(":", 2);
  const whole = [folder, subfolder].filter((part) => part !== "").join("/");
  return { kind: "git", url: `${base}#${ref}:${whole}` };
}

const noSubfolder = (): GantryError =>
  new GantryError("not-implemented", "contextsubdir is supported for git contexts only");

function isUpload(address: string): boolean {
  return address.startsWith("http://") && URL.parse(address)?.host === UPLOAD_HOST;
}

/** What the client has at its standard input, fetched when somebody reads it. */
function upload({ session, signal }: SourcePlace, url: string): Readable {
  if (!session) throw new GantryError("invalid", "no active sessions");
  async function* bytes(): AsyncGenerator<Uint8Array> {
    yield* await session!.openUpload(url, { signal });
  }
  return Readable.from(bytes(), { objectMode: false });
}
