// Jobs for the engine's door to builds, and what a build told, in an order that does not depend on
// which of two steps was quicker.

import { Readable } from "node:stream";
import { pack } from "tar-stream";
import type { BuildEvent, BuildJob, BuildVertex } from "../../src/index.ts";

let jobs = 0;

/** A job over an empty context, without a network. */
export function jobOf(dockerfile: string, more: Partial<BuildJob> = {}): BuildJob {
  return {
    ref: `test-${++jobs}`,
    contexts: new Map([["", { kind: "empty" }]]),
    dockerfile: { text: Buffer.from(dockerfile), name: "Dockerfile" },
    ...{ buildArgs: {}, labels: {}, platforms: [], pull: false, noCache: false },
    hostConfig: { NetworkMode: "none" },
    ...{ entitlements: [], credentials: async () => undefined, cacheFrom: [], cacheTo: [] },
    ...{ outputs: [], attest: new Map() },
    ...more,
  };
}

/** A job over the files of a tar; the Dockerfile is one of them. */
export function buildJob(
  ref: string,
  files: Readonly<Record<string, string>>,
  more: Partial<BuildJob> = {},
): BuildJob {
  return jobOf("", {
    ref,
    contexts: new Map([["", { kind: "stream", bytes: tarOf(files) }]]),
    dockerfile: { context: "", path: "Dockerfile" },
    ...more,
  });
}

export function tarOf(files: Readonly<Record<string, string>>): Readable {
  const archive = pack();
  for (const [name, content] of Object.entries(files)) archive.entry({ name }, content);
  archive.finalize();
  return Readable.from(archive);
}

/** What a build told of its vertices, by name; each as it was in the end. */
export class Told {
  readonly events: BuildEvent[] = [];

  readonly tell = (event: BuildEvent): void => {
    this.events.push(event);
  };

  vertex(name: string): BuildVertex {
    const digest = this.digest(name);
    const states = this.events.flatMap((event) =>
      event.kind === "vertex" && event.vertex.digest === digest ? event.vertex : [],
    );
    return states.at(-1)!;
  }

  /** Throws where no vertex's name begins so. */
  digest(name: string): string {
    const found = this.events.find(
      (event) => event.kind === "vertex" && event.vertex.name.startsWith(name),
    );
    if (found?.kind === "vertex") return found.vertex.digest;
    throw new Error(`no vertex ${name} among ${this.names().join(", ")}`);
  }

  names(): string[] {
    const names = this.events.flatMap((event) =>
      event.kind === "vertex" ? event.vertex.name : [],
    );
    return [...new Set(names)];
  }

  /** What the steps said. */
  output(name: string): string {
    const digest = this.digest(name);
    const parts = this.events.flatMap((event) =>
      event.kind === "log" && event.vertex === digest ? Buffer.from(event.bytes) : [],
    );
    return Buffer.concat(parts).toString();
  }

  warnings(): string[] {
    return this.events.flatMap((event) => (event.kind === "warning" ? event.warning.short : []));
  }
}
