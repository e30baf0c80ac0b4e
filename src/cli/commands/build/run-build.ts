// One build from options to result: opens inputs and session, asks the builder, feeds the display,
// and writes what the caller wants to know of the result. The session is closed last: the daemon
// may still be sending outputs when the build itself is done.

import { writeFile } from "node:fs/promises";
import { GantryError, messageOf } from "../../../base/index.ts";
import type { ops } from "../../../gen/buildkit/index.ts";
import { callerPath } from "../../io.ts";
import type { Session } from "../../session.ts";
import { type Builder, type Hold, newRef, openBuilder } from "./builder.ts";
import { placeOutputs } from "./outputs.ts";
import type { Display } from "./progress/display.ts";
import { openInputs } from "./request/inputs.ts";
import { localCaches, writeLayouts } from "./request/local-caches.ts";
import type { BuildOptions } from "./request/options.ts";
import { cacheExportsOf, entitlements, exportersOf, frontendAttrs } from "./request/solve.ts";
import { openSecrets } from "./session/secrets.ts";
import { openSession } from "./session/serve.ts";
import { openAgents } from "./session/ssh.ts";

export interface BuildResult {
  ref: string;
  /** What the outputs say of themselves, or the answer to a call. */
  response: Record<string, string>;
}
export interface RunOptions {
  display: Pick<Display, "update">;
  signal: AbortSignal;
  /** Results of other builds that are contexts of this one, by the context's name. */
  linked?: ReadonlyMap<string, ops.Definition>;
  /** Others use this build's result: it is held until they are done. */
  hold?: Hold;
  /** A builder that is open already (bake). */
  builder?: Builder;
  /** Takes what ends a failed build's connections, until nobody looks at what it left. */
  defer(close: () => void): void;
  /** Called with the build's name before it begins. */
  named?(ref: string): void;
}

/** Throws why the build failed; the display has been told everything then. */
export async function runBuild(
  session: Session,
  options: BuildOptions,
  run: RunOptions,
): Promise<BuildResult> {
  const { io } = session;
  const exporters = exportersOf(options);
  const placed = placeOutputs(io, exporters);
  const [secrets, agents, caches] = await Promise.all([
    openSecrets(io, options.secrets),
    openAgents(io, options.ssh),
    localCaches(session, options.cacheFrom, cacheExportsOf(options)),
  ]);
  const inputs = await openInputs(io, options);
  try {
    const [open, builder] = await Promise.all([
      openSession(session, {
        folders: inputs.folders,
        uploads: inputs.uploads,
        ...{ secrets, agents },
        outputs: placed.targets,
        stores: new Map([...inputs.stores, ...caches.stores, ...placed.stores]),
        sharedKey: inputs.sharedKey,
      }),
      run.builder ?? openBuilder(session),
    ]);
    const close = () => {
      open.close();
      if (!run.builder) builder[Symbol.dispose]();
    };
    try {
      const ref = newRef();
      run.named?.(ref);
      const request = {
        ref,
        sessionId: open.id,
        attrs: {
          ...frontendAttrs(options, proxiesOf(session)),
          ...inputs.attrs,
          ...linkedAttrs(run.linked),
        },
        exporters,
        cacheFrom: caches.imports,
        cacheTo: caches.exports,
        entitlements: entitlements(options),
        inputs: Object.fromEntries(run.linked ?? []),
        internal: options.call !== undefined,
      };
      const response = await solve(builder, request, run);
      await writeLayouts(response, { caches: caches.written, outputs: placed.layouts });
      close();
      return { ref, response };
    } catch (error) {
      run.defer(close);
      throw error;
    }
  } finally {
    await inputs.release();
  }
}

/** Asks for the build and follows it; both end before this does. */
async function solve(
  builder: Builder,
  request: Parameters<Builder["solve"]>[0],
  { display, signal, hold }: RunOptions,
): Promise<Record<string, string>> {
  // Not ended by `signal`: what a cancelled build says at its end is shown, too.
  const following = new AbortController();
  const follow = async () => {
    for await (const status of builder.status(request.ref, { signal: following.signal })) {
      display.update(status);
    }
  };
  // A call is answered without steps: there is nothing to follow.
  if (request.internal) return await builder.ask(request, { signal });
  const followed = follow().catch((error) => error);
  try {
    const response = await (hold
      ? builder.solveHeld(request, hold, { signal })
      : builder.solve(request, { signal }));
    await followed;
    return response;
  } catch (error) {
    // The status ends with the build; where no build began it would wait for one.
    if (!(error instanceof GantryError)) following.abort();
    const late = setTimeout(() => following.abort(), STATUS_MS_MAX);
    await followed;
    clearTimeout(late);
    throw error;
  }
}

function linkedAttrs(linked: RunOptions["linked"]): Record<string, string> {
  const names = [...(linked?.keys() ?? [])];
  if (names.length === 0) return {};
  return {
    "frontend.caps": "moby.buildkit.frontend.contexts+forward",
    ...Object.fromEntries(names.map((name) => [`context:${name}`, `input:${name}`])),
  };
}

/** How long a failed build's last words may take. */
const STATUS_MS_MAX = 1_000;

/** config.json's proxies are build arguments that leave no trace in the image. */
function proxiesOf(session: Session): Record<string, string> {
  const { proxies } = session.config;
  if (!proxies) return {};
  const { endpoint } = session.resolve();
  const found = proxies[endpoint.text] ?? proxies["default"];
  if (!found) return {};
  const all = {
    HTTP_PROXY: found.httpProxy,
    HTTPS_PROXY: found.httpsProxy,
    NO_PROXY: found.noProxy,
    FTP_PROXY: found.ftpProxy,
    ALL_PROXY: found.allProxy,
  };
  const out: Record<string, string> = {};
  for (const [name, value] of Object.entries(all)) {
    if (!value) continue;
    out[name] = value;
    out[name.toLowerCase()] = value;
  }
  return out;
}

/** The image's id where there is an image: of its config, or of its manifest. */
export function imageIdOf(response: Readonly<Record<string, string>>): string | undefined {
  return response["containerimage.config.digest"] ?? response["containerimage.digest"];
}

export async function writeResult(session: Session, path: string, text: string): Promise<void> {
  try {
    await writeFile(callerPath(session.io, path), text);
  } catch (error) {
    throw new GantryError("invalid", `cannot write ${path}: ${messageOf(error)}`, { cause: error });
  }
}
