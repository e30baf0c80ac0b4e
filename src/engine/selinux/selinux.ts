// SELinux where the daemon is asked for it (`selinux-enabled`) and the kernel has a policy. Which
// labels a container has is decided when it is made and remembered in its record: that is what
// keeps a pair of categories from being handed out twice, through crashes too.

import { randomInt } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { readFile, realpath } from "node:fs/promises";
import { errnoOf, GantryError, type Logger, messageOf } from "../../base/index.ts";
import type { Native, Operation } from "../../native/index.ts";
import { parseMountinfo } from "../../runtime/index.ts";
import type { HostConfig } from "../../spec/index.ts";
import { freeLevel, NOBODYS_LEVEL } from "./categories.ts";
import { type PolicyContexts, parseContext, parseContexts, policyType } from "./contexts.ts";
import {
  containerLabels,
  impliedOptions,
  type Labels,
  labelOptions,
  sharedLabel,
} from "./labels.ts";
import { relabelSource } from "./relabel.ts";

export type LabelRecord = Labels;

interface Holder {
  selinux?: LabelRecord;
}
/** What is known of the containers. */
export interface Holders {
  all(): Iterable<Holder>;
  /** Throws not-found. */
  find(ref: string): Holder;
}

const FOLDER = "/etc/selinux";
/** Of container tools, in place of the policy's own. */
const CONTEXTS = "/usr/share/containers/selinux/contexts";
const XATTR = "security.selinux";
/** A tree of a host may be large. */
const RELABEL_DEADLINE_MS = 3_600_000;

export class SeLinux {
  /** Where the kernel's interface is; undefined: containers get no labels from us. */
  readonly #mount: string | undefined;
  readonly #policy: PolicyContexts | undefined;

  constructor(mount?: string, policy?: PolicyContexts) {
    this.#mount = mount;
    this.#policy = policy;
  }

  /** `warn` hears why containers have no labels although they were asked for. */
  static async open(wanted: boolean, log: Logger, warn: (line: string) => void): Promise<SeLinux> {
    if (!wanted) return new SeLinux();
    const mount = await selinuxMount();
    if (mount === undefined) {
      // dockerd's words.
      log.warn("Docker could not enable SELinux on the host system");
      warn(
        "WARNING: selinux-enabled is set, but SELinux is off on this host: containers have no " +
          "labels",
      );
      return new SeLinux();
    }
    const policy = await policyContexts();
    if (!policy) {
      const line = `the SELinux policy has no ${FOLDER}/…/contexts/lxc_contexts`;
      log.warn("Containers have no labels", { error: line });
      warn(`WARNING: ${line}: containers have no labels`);
    }
    return new SeLinux(mount, policy);
  }

  get isEnabled(): boolean {
    return this.#mount !== undefined;
  }

  /** Undefined: none are given. Nothing may be awaited between this and the writing of the record.
   * Throws invalid in dockerd's words. */
  assign(host: HostConfig, containers: Holders): LabelRecord | undefined {
    if (this.#mount === undefined || !this.#policy) return undefined;
    const own = labelOptions(host.SecurityOpt ?? []);
    const options =
      own.length > 0
        ? own
        : impliedOptions(host, (ref) => containers.find(ref).selinux?.process ?? "");
    const labels = containerLabels(options, this.#policy, () =>
      freeLevel(takenLevels(containers), (below) => randomInt(below)),
    );
    if (options.length > 0) for (const one of Object.values(labels)) this.#check(one);
    return labels;
  }

  /** The policy knows it: otherwise the container would fail when it starts. */
  #check(label: string): void {
    if (label === "") return;
    if (/["\0\n]/.test(label)) throw notInPolicy(label);
    let fd: number | undefined;
    try {
      fd = openSync(`${this.#mount}/context`, "r+");
      writeSync(fd, `${label}\0`);
    } catch (cause) {
      // Whoever may not ask is told by the kernel at the start.
      if (errnoOf(cause) === "EINVAL") throw notInPolicy(label, cause);
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  /** Files that are the engine's own. */
  async label(
    native: Pick<Native, "run">,
    paths: readonly string[],
    { label, shared }: { label: string; shared: boolean },
  ): Promise<void> {
    if (!this.isEnabled || label === "" || paths.length === 0) return;
    const value = shared ? sharedLabel(label) : label;
    const real = await Promise.all(paths.map((path) => realpath(path)));
    await native.run({ host: real.map((path) => relabelOperation(path, value)) });
  }

  /** Gives a tree of the host the label of a container (`:Z`), or one of all containers. Throws
   * invalid for what must keep its own. `keep`: further folders of that kind. */
  async relabel(
    native: Pick<Native, "run">,
    path: string,
    o: { label: string; shared: boolean; keep: readonly string[] },
  ): Promise<void> {
    if (!this.isEnabled || o.label === "") return;
    const source = await relabelSource(path, o.keep);
    const host = [relabelOperation(source, o.shared ? sharedLabel(o.label) : o.label)];
    try {
      await native.run({ host, deadlineMs: RELABEL_DEADLINE_MS });
    } catch (cause) {
      const why = `error setting label on mount source '${source}': ${messageOf(cause)}`;
      throw new GantryError("invalid", why, { cause });
    }
  }
}

function relabelOperation(path: string, label: string): Operation {
  return { op: "relabelTree", path, name: XATTR, value: new TextEncoder().encode(`${label}\0`) };
}

function takenLevels(containers: Holders): Set<string> {
  const taken = new Set([NOBODYS_LEVEL]);
  for (const { selinux } of containers.all()) {
    if (selinux?.process) taken.add(parseContext(selinux.process).level);
  }
  return taken;
}

const notInPolicy = (label: string, cause?: unknown): GantryError =>
  new GantryError("invalid", `SELinux label ${JSON.stringify(label)} is not in the policy`, {
    cause,
  });

/** Where a kernel with a policy can be spoken to; read-only in a container, where the policy is
 * the host's. A process of a kernel without a policy is "kernel". */
async function selinuxMount(): Promise<string | undefined> {
  const mounts = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
  const mount = mounts.find(({ fstype }) => fstype === "selinuxfs");
  const isWritable =
    mount?.options.includes("rw") === true && mount.superOptions.includes("rw") === true;
  if (!mount || !isWritable) return undefined;
  const own = await readFile("/proc/self/attr/current", "latin1").catch(() => "");
  const label = own.replace(/[\n\0]+$/, "");
  return label === "" || label === "kernel" ? undefined : mount.path;
}

async function policyContexts(): Promise<PolicyContexts | undefined> {
  const read = (path: string) => readFile(path, "utf8").catch(() => undefined);
  const type = policyType((await read(`${FOLDER}/config`)) ?? "");
  const text = (await read(CONTEXTS)) ?? (await read(`${FOLDER}/${type}/contexts/lxc_contexts`));
  return text === undefined ? undefined : parseContexts(text);
}
