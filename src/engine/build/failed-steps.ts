// Steps that failed while somebody wants to look at them (--debug): their files and mounts stay
// until whoever asked lets go, its session ends, others take their place, or the engine closes.

import { GantryError } from "../../base/index.ts";
import type { EngineContext } from "../context.ts";
import type { FailedStep, FailedSteps, Shell, ShellOptions } from "./contract.ts";
import { openShell } from "./failed-step-shell.ts";
import type { LeftStep } from "./run.ts";
import type { Workspace } from "./workspace.ts";

/** Each holds a context and a file system. */
const KEPT_MAX = 4;

export interface KeptStep extends FailedStep {
  left: LeftStep;
  workspace: Workspace;
  /** The client's session, or something else whose end lets go. */
  until: AbortSignal | undefined;
  /** Releases what the build held for it. */
  release(): Promise<void>;
}
interface OpenShell {
  ended: Promise<unknown>;
  end(): void;
  isOver: boolean;
  resize?: Shell["resize"];
}
interface Kept {
  step: KeptStep;
  shell: OpenShell | undefined;
  shellExitCode: number | undefined;
  leave(): void;
}

export class KeptSteps implements FailedSteps {
  readonly #engine: EngineContext;
  readonly #afterwards: (work: Promise<void>) => void;
  readonly #kept = new Map<string, Kept>();

  constructor(engine: EngineContext, afterwards: (work: Promise<void>) => void) {
    this.#engine = engine;
    this.#afterwards = afterwards;
    const leave = () => {
      for (const ref of this.#kept.keys()) this.#letGo(ref);
    };
    engine.closing.signal.addEventListener("abort", leave, { once: true });
  }

  keep(step: KeptStep): void {
    const { ref, until } = step;
    this.#letGo(ref);
    const leave = () => this.#letGo(ref);
    this.#kept.set(ref, { step, shell: undefined, shellExitCode: undefined, leave });
    for (const oldest of [...this.#kept.keys()].slice(0, -KEPT_MAX)) this.#letGo(oldest);
    until?.addEventListener("abort", leave, { once: true });
    if (until?.aborted || this.#engine.closing.signal.aborted) leave();
  }

  get(ref: string): FailedStep | undefined {
    const kept = this.#kept.get(ref);
    if (kept === undefined) return undefined;
    const { vertex, name, args, exitCode } = kept.step;
    const { shellExitCode } = kept;
    return { ref, vertex, name, args, exitCode, shellExitCode };
  }

  async shell(ref: string, o: ShellOptions & { signal?: AbortSignal }): Promise<Shell> {
    const kept = this.#kept.get(ref);
    if (!kept) throw new GantryError("not-found", `no failed step of a build ${ref} is kept`);
    while (kept.shell?.isOver) await kept.shell.ended;
    if (this.#kept.get(ref) !== kept) {
      throw new GantryError("not-found", `the failed step of the build ${ref} was let go of`);
    }
    if (kept.shell) throw new GantryError("conflict", "a shell is open in the failed step already");
    const { left, workspace } = kept.step;
    const end = new AbortController();
    const signals = o.signal ? AbortSignal.any([o.signal, end.signal]) : end.signal;
    const opening = openShell(this.#engine, left, { ...o, workspace, signal: signals });
    const gone = opening.then(({ ended }) => ended).catch(() => undefined);
    const ended = gone.then((code) => {
      kept.shell = undefined;
      kept.shellExitCode = code;
    });
    const shell: OpenShell = { ended, end: () => end.abort(), isOver: false };
    kept.shell = shell;
    const opened = await opening;
    shell.resize = opened.resize;
    const over = () => {
      shell.isOver = true;
    };
    opened.stream.once("end", over).once("close", over);
    const code = opened.ended.finally(() => ended);
    code.catch(() => {}); // who asked may not wait for it
    return { ...opened, ended: code };
  }

  async resize(ref: string, size: { columns: number; rows: number }): Promise<void> {
    const resize = this.#kept.get(ref)?.shell?.resize;
    if (!resize) throw new GantryError("not-found", `no shell of a build ${ref} is open`);
    await resize(size);
  }

  async release(ref: string): Promise<void> {
    await this.#letGo(ref);
  }

  #letGo(ref: string): Promise<void> {
    const kept = this.#kept.get(ref);
    if (!kept) return Promise.resolve();
    this.#kept.delete(ref);
    kept.step.until?.removeEventListener("abort", kept.leave);
    const going = this.#remove(kept);
    this.#afterwards(going);
    return going;
  }

  async #remove({ step, shell }: Kept): Promise<void> {
    const { log } = this.#engine;
    try {
      shell?.end();
      await shell?.ended;
      await step.left.undo.undo();
    } catch (error) {
      log.warn("Cannot remove what a failed step left", { ref: step.ref, error });
    } finally {
      await step.release();
    }
  }
}
