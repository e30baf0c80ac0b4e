// What the engine itself does, under dockerd's names (engine_daemon_…, builder_…), and its process
// as every Prometheus client tells it. Verbs are timed by wrapping the doors: no verb knows of it.

import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { kindOf } from "../../base/index.ts";
import { isPaused, isRunning } from "../containers/record.ts";
import type { EngineContext } from "../context.ts";
import type { Builds, Containers, EngineDoors, Images, Networks } from "../contract.ts";
import { processMetrics } from "./process-metrics.ts";

type Counted = Pick<EngineContext, "containers" | "bus" | "probes">;

const prefix = "engine_daemon_";
/** dockerd's own. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** A pull or a build takes minutes. */
const LONG_SECONDS = [0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 900, 3600];

/** dockerd's reasons; ours is the last. */
const BUILD_FAILURES = [
  "build_canceled",
  "build_target_not_reachable_error",
  "command_not_supported_error",
  "dockerfile_empty_error",
  "dockerfile_syntax_error",
  "error_processing_commands_error",
  "missing_onbuild_arguments_error",
  "unknown_instruction_error",
];

/** Facts that are known once and say which engine this is. */
type EngineFacts = Readonly<
  Record<
    | "architecture"
    | "commit"
    | "daemon_id"
    | "graphdriver"
    | "kernel"
    | "os"
    | "os_type"
    | "os_version"
    | "version",
    string
  >
> & { cpus: number; memoryBytes: number };

export class EngineMetrics {
  readonly registry = new Registry();
  #containerActions: Histogram<"action">;
  #networkActions: Histogram<"action">;
  #imageActions: Histogram<"action">;
  #builds: Counter;
  #buildFailures: Counter<"reason">;

  constructor(engine: Counted, facts: EngineFacts) {
    const registers = [this.registry];
    processMetrics(registers);
    constantGauges(registers, facts);
    stateGauges(registers, engine);
    const actions = (what: string, names: readonly string[], buckets = SECONDS) => {
      const name = `${prefix}${what}_actions_seconds`;
      const help = `The number of seconds it takes to process each ${what} action`;
      const labelNames = ["action"] as const;
      const histogram = new Histogram({ name, help, labelNames, buckets, registers });
      for (const action of names) histogram.zero({ action });
      return histogram;
    };
    const verbs = ["changes", "commit", "create", "delete", "start"];
    this.#containerActions = actions("container", verbs);
    this.#networkActions = actions("network", ["connect", "release"]);
    this.#imageActions = actions("image", ["delete", "load", "pull", "push"], LONG_SECONDS);
    this.#builds = new Counter({
      name: "builder_builds_triggered_total",
      help: "Number of triggered image builds",
      registers,
    });
    this.#buildFailures = new Counter({
      name: "builder_builds_failed_total",
      help: "Number of failed image builds",
      labelNames: ["reason"],
      registers,
    });
    for (const reason of BUILD_FAILURES) this.#buildFailures.inc({ reason }, 0);
  }

  /** The same doors, with a clock at those verbs that dockerd times. */
  timed<T extends Pick<EngineDoors, "containers" | "images" | "networks" | "builds">>(doors: T): T {
    return {
      ...doors,
      containers: this.#timedContainers(doors.containers),
      images: this.#timedImages(doors.images),
      networks: this.#timedNetworks(doors.networks),
      builds: this.#countedBuilds(doors.builds),
    };
  }

  #timedContainers(containers: Containers): Containers {
    const time = timer(this.#containerActions);
    return {
      ...containers,
      changes: time("changes", containers.changes),
      commit: time("commit", containers.commit),
      create: time("create", containers.create),
      remove: time("delete", containers.remove),
      start: time("start", containers.start),
    };
  }

  #timedNetworks(networks: Networks): Networks {
    const time = timer(this.#networkActions);
    return {
      ...networks,
      connect: time("connect", networks.connect),
      disconnect: time("release", networks.disconnect),
    };
  }

  #timedImages(images: Images): Images {
    const stream = streamTimer(this.#imageActions);
    return {
      ...images,
      load: stream("load", images.load),
      pull: stream("pull", images.pull),
      push: stream("push", images.push),
      remove: timer(this.#imageActions)("delete", images.remove),
    };
  }

  #countedBuilds(builds: Builds): Builds {
    const failed = (error: unknown): void => this.#buildFailures.inc({ reason: reasonOf(error) });
    return Object.assign(Object.create(builds) as Builds, {
      build: (...args: Parameters<Builds["build"]>) => {
        this.#builds.inc();
        return noticing(builds.build(...args), failed);
      },
      solve: async (...args: Parameters<Builds["solve"]>) => {
        this.#builds.inc();
        return await builds.solve(...args).catch((error: unknown) => {
          failed(error);
          throw error;
        });
      },
    });
  }
}

function constantGauges(registers: Registry[], facts: EngineFacts): void {
  const { cpus, memoryBytes, ...labels } = facts;
  const gauge = (name: string, help: string, labelNames: string[] = []): Gauge =>
    new Gauge({ name: prefix + name, help, labelNames, registers });
  const info = "The information related to the engine and the OS it is running on";
  gauge("engine_info", info, Object.keys(labels)).set(labels, 1);
  const of = "that the host system of the engine has";
  gauge("engine_cpus_cpus", `The number of cpus ${of}`).set(cpus);
  gauge("engine_memory_bytes", `The number of bytes of memory ${of}`).set(memoryBytes);
}

function stateGauges(registers: Registry[], engine: Counted): void {
  new Gauge({
    name: `${prefix}container_states_containers`,
    help: "The count of containers in various states",
    labelNames: ["state"],
    registers,
    collect() {
      const all = engine.containers.all();
      const paused = all.filter(isPaused).length;
      const running = all.filter(isRunning).length - paused;
      this.set({ state: "paused" }, paused);
      this.set({ state: "running" }, running);
      this.set({ state: "stopped" }, all.length - running - paused);
    },
  });
  new Gauge({
    name: `${prefix}events_subscribers_total`,
    help: "The number of current subscribers to events",
    registers,
    collect() {
      this.set(engine.bus.subscriberCount);
    },
  });
  counted(registers, "events_total", "The number of events logged", () => {
    return engine.bus.publishedCount;
  });
  const { probes } = engine;
  counted(registers, "health_checks_total", "The total number of health checks", () => {
    return probes.count;
  });
  const failed = "The total number of failed health checks";
  counted(registers, "health_checks_failed_total", failed, () => probes.failed);
}

/** A counter that another part keeps. */
function counted(registers: Registry[], name: string, help: string, read: () => number): void {
  let before = 0;
  new Counter({
    name: prefix + name,
    help,
    registers,
    collect() {
      const now = read();
      this.inc(now - before);
      before = now;
    },
  });
}

/** Docker's word where it has one. */
function reasonOf(error: unknown): string {
  switch (kindOf(error)) {
    case "cancelled":
      return "build_canceled";
    case "invalid":
      return "dockerfile_syntax_error";
    case "not-found":
      return "build_target_not_reachable_error";
    default:
      return "error_processing_commands_error";
  }
}

const timer =
  (histogram: Histogram<"action">) =>
  <A extends unknown[], R>(action: string, verb: (...args: A) => Promise<R>) =>
  async (...args: A): Promise<R> => {
    const end = histogram.startTimer({ action });
    const result = await verb(...args);
    end(); // what failed is not what took so long
    return result;
  };

const streamTimer =
  (histogram: Histogram<"action">) =>
  <A extends unknown[], R>(action: string, verb: (...args: A) => AsyncIterable<R>) =>
  (...args: A): AsyncIterable<R> => {
    const end = histogram.startTimer({ action });
    const stream = verb(...args);
    return (async function* () {
      yield* stream;
      end();
    })();
  };

async function* noticing<T>(
  stream: AsyncIterable<T>,
  failed: (error: unknown) => void,
): AsyncGenerator<T> {
  try {
    yield* stream;
  } catch (error) {
    failed(error);
    throw error;
  }
}
