// `Native` without a kernel, for unit tests: keeps every plan, can be told to fail, and reports
// what it is told to report. A plan is encoded as for the real program, so a bad one is refused
// too.

import type { Duplex } from "node:stream";
import { PassThrough } from "node:stream";
import { GantryError } from "../base/index.ts";
import type { Created, MonitorConfig, Native, PlanResults } from "./contract.ts";
import { encodeMonitorConfig, encodePlan } from "./encode.ts";
import { resultsOf } from "./failure.ts";
import { formatPlan } from "./format.ts";
import type { Plan } from "./operations.ts";

type AnyPlan = Pick<Plan, "host"> & Partial<Plan>;
export type Recorded = { kind: "run" | "create"; plan: AnyPlan; monitor?: MonitorConfig };

export class Recorder implements Native {
  readonly calls: Recorded[] = [];
  /** The stream that the next openStream() hands out; the other end is the test's. */
  nextStream: Duplex | undefined;
  #failures: { call: number; index: number; errno: string }[] = [];
  #results: (call: Recorded) => ReadonlyMap<number, Uint8Array> = () => new Map();
  #nextPid = 1000;

  /** Makes host operation `index` of the `call`-th plan (from 0) fail. */
  failAt(call: number, index: number, errno = "EIO"): void {
    this.#failures.push({ call, index, errno });
  }

  /** Says what plans report, by host-operation index. */
  report(results: (call: Recorded) => ReadonlyMap<number, Uint8Array>): void {
    this.#results = results;
  }

  /** Every plan so far as text. */
  get text(): string {
    return this.calls.map(({ kind, plan }) => `# ${kind}\n${formatPlan(plan)}`).join("");
  }

  async run(plan: AnyPlan, options: { signal?: AbortSignal } = {}): Promise<PlanResults> {
    options.signal?.throwIfAborted();
    return this.#record({ kind: "run", plan });
  }

  async create(
    plan: Plan,
    monitor: MonitorConfig,
    options: { signal?: AbortSignal } = {},
  ): Promise<Created> {
    options.signal?.throwIfAborted();
    encodeMonitorConfig(monitor);
    const results = this.#record({ kind: "create", plan, monitor });
    const pid = this.#nextPid;
    this.#nextPid += 2;
    return { pid, startTicks: BigInt(pid), monitorPid: pid + 1, results };
  }

  openStream(): { path: string; token: Uint8Array; stream: Promise<Duplex>; close(): void } {
    const stream = this.nextStream ?? new PassThrough();
    this.nextStream = undefined;
    return {
      path: "/streams.sock",
      token: new Uint8Array(16),
      stream: Promise.resolve(stream),
      close: () => {},
    };
  }

  async close(): Promise<void> {}

  #record(call: Recorded): PlanResults {
    encodePlan(call.plan);
    const number = this.calls.push(call) - 1;
    const failure = this.#failures.find((candidate) => candidate.call === number);
    if (failure === undefined) return resultsOf(this.#results(call));
    const operation = call.plan.host[failure.index];
    throw new GantryError("internal", `Failed to ${operation?.op}: ${failure.errno}`, {
      detail: {
        half: "host",
        index: failure.index,
        operation,
        errno: failure.errno,
        number: 0,
        text: "",
        teardown: [],
      },
    });
  }
}
