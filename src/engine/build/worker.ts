// The worker of one build: what src/build asks for, done with the engine's layers and containers.
// Digests of file systems are remembered for the build, since a layer never changes.

import type {
  CopyRequest,
  FileSelection,
  FileSource,
  FolderRequest,
  GitSource,
  Root,
  RunRequest,
  StepOutput,
  Worker,
} from "../../build/index.ts";
import { type ContextStore, gitSecrets, gitTree } from "./contexts/index.ts";
import { copyFiles, makeFolder } from "./copy.ts";
import { selectionDigest } from "./digest.ts";
import { download } from "./download.ts";
import { type RunPlace, runStep } from "./run.ts";
import { StepRemains } from "./step-remains.ts";

export interface WorkerPlace extends RunPlace {
  /** Contexts that are transferred when something needs them; absent: all are there. */
  contexts?: { open(name: string): Promise<FileSource> };
  /** Where repositories of ADD are kept. */
  contextStore: ContextStore;
}

export class BuildWorker implements Worker {
  readonly #place: WorkerPlace;
  readonly #digests = new Map<string, Promise<string>>();
  readonly #remains = new StepRemains();
  #downloads = 0;

  constructor(place: Omit<WorkerPlace, "remains">) {
    this.#place = { ...place, remains: this.#remains };
  }

  /** Resolves when nothing is left of the steps but their layers. */
  async settled(): Promise<void> {
    await this.#remains.settled();
  }

  async context(name: string): Promise<FileSource> {
    return (await this.#place.contexts?.open(name)) ?? { kind: "context", name };
  }

  async run(request: RunRequest, output: StepOutput): Promise<{ layer: string }> {
    return { layer: await runStep(this.#place, request, output) };
  }

  async copy(request: CopyRequest, output: StepOutput): Promise<{ layer: string }> {
    return { layer: await copyFiles({ ...this.#place, ...voiceOf(output) }, request) };
  }

  async makeFolder(
    request: FolderRequest,
    output: StepOutput,
  ): Promise<{ layer: string | undefined }> {
    return { layer: await makeFolder({ ...this.#place, ...voiceOf(output) }, request) };
  }

  async digest(selection: FileSelection, { signal }: { signal: AbortSignal }): Promise<string> {
    const key = JSON.stringify([selection.from, selection.paths, selection.exclude]);
    const known = this.#digests.get(key);
    if (known !== undefined) return await known;
    const digest = selectionDigest(this.#place, selection, { signal });
    digest.catch(() => this.#digests.delete(key));
    this.#digests.set(key, digest);
    return await digest;
  }

  async download(
    source: { url: string; fileName: string; checksum?: string; git?: GitSource },
    { signal }: { signal: AbortSignal },
  ): Promise<FileSource> {
    const { engine, workspace, contextStore: store, session } = this.#place;
    const name = `download:${++this.#downloads}`;
    if (source.git) {
      const place = { engine, workspace, store, ...gitSecrets(session) };
      workspace.setContext(name, await gitTree(place, source.git, { signal }));
      return { kind: "context", name };
    }
    workspace.setContext(name, await download(this.#place, source, { signal }));
    return { kind: "context", name };
  }

  /** Keeps the layers of a base for the build. */
  hold({ layers }: Root): void {
    for (const layer of layers) this.#place.lease.add(layer);
  }
}

function voiceOf(output: StepOutput) {
  const say = (text: string) => output.write("stderr", Buffer.from(text));
  return { signal: output.signal, say };
}
