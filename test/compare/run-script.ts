// Runs scripts against a daemon, one after the other, each in a folder of its own; between two of
// them whatever the first made is removed, so that every script finds the same.

import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { payloadRootfs } from "../payload/payload.ts";
import { Normaliser } from "./normalise.ts";
import { type Outcome, type Place, perform } from "./outcome.ts";
import type { Script } from "./script.ts";

const TIDY_DEADLINE_MS = 60_000;
export const IMAGE = "payload:latest";
const CHANGES = ['CMD ["/bin/true"]', "ENV PATH=/bin"];
const PREDEFINED = ["bridge", "host", "none"];

/** A daemon that scripts can be run against. */
export type Subject = {
  socket: string;
  docker: Docker;
  folder: string;
  env: Record<string, string>;
  paths: [string, string][];
};

export type Answer = { title: string; outcome: Outcome };

export async function runScript(subject: Subject, script: Script): Promise<Answer[]> {
  const folder = join(subject.folder, "work");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const env: Record<string, string> = { ...subject.env, W: folder, I: "payload" };
  const place: Place = { socket: subject.socket, folder, env };
  const own = script.steps.map(({ line }) => line).join("\n");
  const paths: [string, string][] = [...subject.paths, [folder, "<here>"]];
  const normaliser = new Normaliser({ paths }, own);
  const answers: Answer[] = [];
  for (const step of script.steps) {
    const outcome = await perform(step, place, normaliser).catch((error) => {
      throw new Error(`${script.name}: ${step.line}`, { cause: error });
    });
    if (!step.flags.has("setup")) answers.push({ title: step.title, outcome });
  }
  return answers;
}

/** Removes everything that a script may have made, and puts the image back. */
export async function tidy({ docker }: Subject): Promise<void> {
  const late = new AbortController();
  const deadline = delay(TIDY_DEADLINE_MS, undefined, { signal: late.signal }).then(
    () => Promise.reject(new Error("What a script has made cannot be removed in time")),
    () => {}, // all was removed
  );
  await Promise.race([removeAll(docker).finally(() => late.abort()), deadline]);
}

async function removeAll(docker: Docker): Promise<void> {
  for (const { Id, State } of await docker.listContainers({ all: true })) {
    const container = docker.getContainer(Id);
    if (State === "paused") await container.unpause().catch(() => {});
    await container.remove({ force: true, v: true }).catch(() => {});
  }
  const networks = (await docker.listNetworks()).filter(({ Name }) => !PREDEFINED.includes(Name));
  // Those that others take their settings from can go only after them.
  for (const { Id } of networks.toSorted((a, b) => Number(a.ConfigOnly) - Number(b.ConfigOnly))) {
    await docker
      .getNetwork(Id)
      .remove()
      .catch(() => {});
  }
  for (const { Name } of (await docker.listVolumes()).Volumes ?? []) {
    await docker
      .getVolume(Name)
      .remove({ force: true })
      .catch(() => {});
  }
  // The payload's too: once saved or built upon, an image is known by more than it was before.
  for (const { Id, RepoTags } of await docker.listImages()) {
    const names = (RepoTags ?? []).filter((name) => name !== "<none>:<none>");
    for (const name of names.length > 0 ? names : [Id]) {
      await docker
        .getImage(name)
        .remove({ force: true })
        .catch(() => {});
    }
  }
  await importImage(docker);
}

export async function importImage(docker: Docker): Promise<void> {
  const rootfs = await payloadRootfs();
  const options = { repo: IMAGE, changes: CHANGES };
  const stream = await docker.importImage(rootfs as never, options as never);
  await new Promise((resolve, reject) => {
    (stream as unknown as NodeJS.ReadableStream).on("end", resolve).on("error", reject).resume();
  });
}
