// systemd's manager over the system bus: makes the scope in which a container's cgroup lies, writes
// its limits as properties, and ends it. Source: org.freedesktop.systemd1(5), and "The New Control
// Group Interfaces" of systemd's documentation: who delegates writes no cgroup that it did not get.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { DBusError, MessageBus } from "dbus-native";
import { GantryError, messageOf } from "../base/index.ts";
import type { Scope } from "./unit-names.ts";
import { type CgroupFile, type UnitProperty, unitProperties } from "./unit-properties.ts";

/** That this folder is there says that systemd runs the machine: sd_booted(3). */
const BOOTED = "/run/systemd/system";
const DEFAULT_ADDRESS = "unix:path=/run/dbus/system_bus_socket";
const SERVICE = "org.freedesktop.systemd1";
const PATH = "/org/freedesktop/systemd1";
const MANAGER = "org.freedesktop.systemd1.Manager";
const TO_MANAGER = { destination: SERVICE, path: PATH, interface: MANAGER };
const JOB_REMOVED = `type='signal',sender='${SERVICE}',interface='${MANAGER}',member='JobRemoved'`;
/** runc waits as long for a unit. */
const JOB_DEADLINE_MS = 30_000;

const FIXED: readonly UnitProperty[] = [
  ["CPUAccounting", "b", true],
  ["MemoryAccounting", "b", true],
  ["IOAccounting", "b", true],
  ["TasksAccounting", "b", true],
  ["DefaultDependencies", "b", false],
  ["CollectMode", "s", "inactive-or-failed"],
];

/** A scope whose first process is there until this is disposed of: by then another has entered. */
export type HeldScope = AsyncDisposable;

export class SystemdUnits implements AsyncDisposable {
  #holder: string;
  /** Until it is lost: the bus may be started anew. */
  #connection: Promise<MessageBus> | undefined;
  /** Calls under way whose job may be done before we have read its name. */
  #asking = 0;
  /** Results of jobs that were done meanwhile, ours or anybody's. */
  #done = new Map<string, string>();
  #waiting = new Map<string, (result: string) => void>();

  /** `holder`: the native program. Throws unavailable where systemd does not run the machine. */
  static async connect(o: { holder: string; booted?: string }): Promise<SystemdUnits> {
    if (!existsSync(o.booted ?? BOOTED)) {
      throw new GantryError(
        "unavailable",
        "systemd not running on this host, cannot use systemd cgroups: use cgroupfs paths instead",
      );
    }
    const units = new SystemdUnits(o.holder);
    await units.#connected();
    return units;
  }

  private constructor(holder: string) {
    this.#holder = holder;
  }

  #connected(): Promise<MessageBus> {
    this.#connection ??= this.#dial();
    return this.#connection;
  }

  async #dial(): Promise<MessageBus> {
    const lost = Promise.withResolvers<never>();
    let bus: MessageBus | undefined;
    try {
      // Loaded when it is needed: a runtime without systemd starts without it.
      const { default: dbus } = await import("dbus-native");
      const busAddress = process.env["DBUS_SYSTEM_BUS_ADDRESS"] ?? DEFAULT_ADDRESS;
      bus = dbus.createClient({ busAddress, returnBigInt: true, timeout: JOB_DEADLINE_MS });
      bus.connection.on("error", lost.reject);
      bus.connection.on("close", () => lost.reject(new Error("the connection was closed")));
      await Promise.race([this.#subscribe(bus), lost.promise]);
    } catch (cause) {
      this.#connection = undefined;
      await bus?.close();
      const message = `cannot reach systemd on the system bus: ${messageOf(cause)}`;
      throw new GantryError("unavailable", message, { cause });
    }
    lost.promise.catch(() => this.#forget());
    return bus;
  }

  /** The next call connects anew; who waits for a job does not hear of it any more. */
  #forget(): void {
    this.#connection = undefined;
    for (const resolve of this.#waiting.values()) resolve("no answer: the system bus has ended");
  }

  async #subscribe(bus: MessageBus): Promise<void> {
    bus.connection.on("message", ({ member, interface: from, body }) => {
      if (member !== "JobRemoved" || from !== MANAGER) return;
      const [, job, , result] = body as [number, string, string, string];
      const waiting = this.#waiting.get(job);
      if (waiting) waiting(result);
      else if (this.#asking > 0) this.#done.set(job, result);
    });
    await bus.addMatch(JOB_REMOVED);
    await bus.invoke({ ...TO_MANAGER, member: "Subscribe" });
  }

  /** Makes a scope with these limits. Commit point: systemd has made its cgroup. A
   * scope is gone when it is empty, so one process of ours is in it until the result is disposed
   * of. Throws conflict when there is such a unit. */
  async start(
    { slice, unit }: Scope,
    { description, files }: { description: string; files: readonly CgroupFile[] },
  ): Promise<HeldScope> {
    const holder = spawn(this.#holder, ["hold"], { stdio: ["pipe", "ignore", "ignore"] });
    holder.on("error", () => {}); // then it has no pid
    const hold = { [Symbol.asyncDispose]: () => endOf(holder) };
    try {
      if (holder.pid === undefined) throw new GantryError("internal", "cannot hold a scope");
      await this.#startUnit(unit, [
        ["Description", "s", description],
        ...FIXED,
        ...unitProperties(files),
        ["Slice", "s", slice],
        ["Delegate", "b", true],
        ["PIDs", "au", [holder.pid]],
      ]);
      return hold;
    } catch (error) {
      await hold[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #startUnit(unit: string, properties: readonly UnitProperty[]): Promise<void> {
    const body = [unit, "replace", properties.map(([name, ...value]) => [name, value]), []];
    const begin = () => this.#job("StartTransientUnit", "ssa(sv)a(sa(sv))", body);
    let result: string;
    try {
      result = await begin();
    } catch (error) {
      // One that has just ended, or has failed, is in the way until it is forgotten.
      if (!(error instanceof GantryError) || error.kind !== "conflict") throw error;
      if (await this.#hasProcesses(unit)) throw error;
      await this.stop(unit);
      result = await begin();
    }
    if (result !== "done") {
      throw new GantryError("internal", `error creating systemd unit ${unit}: got ${result}`);
    }
  }

  async #hasProcesses(unit: string): Promise<boolean> {
    // Whoever cannot be asked is taken to be there: stopping a unit kills what is in it.
    const listed = await this.#call<unknown[]>("GetUnitProcesses", "s", [unit]).catch(
      (error: unknown) => {
        if (error instanceof GantryError && error.kind === "not-found") return [];
        throw error;
      },
    );
    return listed.length > 0;
  }

  /** Calls what answers with a job; resolves with its result. */
  async #job(member: string, signature: string, body: unknown[]): Promise<string> {
    this.#asking++;
    try {
      return await this.#resultOf(await this.#call<string>(member, signature, body));
    } finally {
      if (--this.#asking === 0) this.#done.clear();
    }
  }

  async #resultOf(job: string): Promise<string> {
    const known = this.#done.get(job);
    this.#done.delete(job);
    if (known !== undefined) return known;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#waiting.set(job, resolve);
    const timer = setTimeout(() => resolve(`no answer in ${JOB_DEADLINE_MS} ms`), JOB_DEADLINE_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(job);
    }
  }

  /** Until the unit ends; what has no property is for the caller to write. */
  async setLimits(unit: string, files: readonly CgroupFile[]): Promise<void> {
    const properties = unitProperties(files).map(([name, ...value]) => [name, value]);
    if (properties.length === 0) return;
    await this.#call("SetUnitProperties", "sba(sv)", [unit, true, properties]);
  }

  /** Ends what is in it; nothing where it is gone already. */
  async stop(unit: string): Promise<void> {
    try {
      await this.#job("StopUnit", "ss", [unit, "replace"]);
    } catch (error) {
      if (!(error instanceof GantryError) || error.kind !== "not-found") throw error;
    }
    await this.#call("ResetFailedUnit", "s", [unit]).catch(() => {});
  }

  async #call<T = unknown>(member: string, signature?: string, body?: unknown[]): Promise<T> {
    const bus = await this.#connected();
    try {
      return await bus.invoke({ ...TO_MANAGER, member, ...(signature && { signature, body }) });
    } catch (cause) {
      const kind = KINDS[(cause as DBusError).dbusName ?? ""] ?? "internal";
      throw new GantryError(kind, `systemd: ${member}: ${messageOf(cause)}`, { cause });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const bus = await this.#connection?.catch(() => undefined);
    await bus?.close();
  }
}

const KINDS: Readonly<Record<string, "conflict" | "not-found" | "unavailable">> = {
  "org.freedesktop.systemd1.UnitExists": "conflict",
  "org.freedesktop.systemd1.NoSuchUnit": "not-found",
  "org.freedesktop.DBus.Error.Disconnected": "unavailable",
};

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.stdin?.end();
  await ended;
}
