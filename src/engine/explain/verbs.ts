// The verbs of explanation: gather, read, compare, tell. Nothing is changed.

import { eachPort } from "../../network/index.ts";
import { operationFacts, planFacts } from "../../runtime/index.ts";
import { draftContainer } from "../containers/create.ts";
import { endFacts } from "../containers/ending.ts";
import { type ContainerRecord, hasNeverRun, isPaused, isRestarting } from "../containers/record.ts";
import { takeUserns } from "../containers/user-namespace.ts";
import type { EngineContext } from "../context.ts";
import type { ContainerExplanation, CreateRequest, Explain, ExplainFacts } from "../contract.ts";
import { compareLive } from "./compare.ts";
import { containerFacts, imageFacts, networkFacts, seccompFacts } from "./facts.ts";
import { type GatheredPlan, gatherPlan } from "./gather.ts";
import { refineKill } from "./host-oom.ts";
import { readLive } from "./read-live.ts";
import { remoteFacts, remoteImage } from "./remote-image.ts";
import { sectionsOf } from "./sections.ts";

/** Stands for what is random. It is as long as the part of an id that becomes the host name. */
const NO_ID = "CONTAINER-ID";

export const explainVerbs = (engine: EngineContext): Explain => ({
  plan: (request, o) => explainPlan(engine, request, o?.signal),
  container: (ref) => explainContainer(engine, ref),
});

async function explainPlan(
  engine: EngineContext,
  request: CreateRequest,
  signal: AbortSignal | undefined,
): Promise<ContainerExplanation> {
  const remote = await remoteImage(engine, request, signal);
  const { record, mounts, warnings } = await draftContainer(engine, request, {
    id: NO_ID,
    ...(remote && { image: remote.image }),
  });
  takeUserns(engine, record); // seen in this record only: nothing is kept
  record.name ||= "RANDOM-NAME";
  record.mounts = mounts;
  const gathered = await gatherPlan(engine, record, { made: false });
  const taken = engine.containers.byName(request.name ?? "");
  if (taken) warnings.push(`the name ${record.name} is in use by container ${taken.id}`);
  warnings.push(...takenPorts(engine, gathered));
  const facts = factsOf(engine, record, gathered);
  if (remote) facts.image = remoteFacts(engine, facts.image, remote);
  return {
    about: { state: "planned", name: record.name, image: record.imageName },
    warnings: [...warnings, ...gathered.warnings],
    sections: sectionsOf(facts, []),
    facts,
    operations: operationFacts(gathered.planned.plan),
  };
}

/** Host ports that containers hold already: the start would be refused. */
function takenPorts(engine: EngineContext, { attached }: GatheredPlan): string[] {
  const asked = attached.records.flatMap(({ ports }) => ports);
  return engine.containers.all().flatMap(({ name, run }) =>
    (run?.attachments ?? [])
      .flatMap(({ ports }) => eachPort(ports))
      .filter(({ hostPort, protocol, hostIp }) =>
        asked.some(
          (one) =>
            one.hostPort === hostPort &&
            one.protocol === protocol &&
            hostPort !== 0 &&
            (one.hostIp === "" || one.hostIp === hostIp),
        ),
      )
      .map(({ hostIp, hostPort, protocol }) => {
        const at = `${hostIp}:${hostPort}/${protocol}`;
        return `the host port ${at} is published by container ${name}: the start would be refused`;
      }),
  );
}

async function explainContainer(engine: EngineContext, ref: string): Promise<ContainerExplanation> {
  const c = engine.containers.find(ref);
  const gathered = await gatherPlan(engine, c, { made: true });
  const facts = factsOf(engine, c, gathered);
  const end = endFacts(c);
  if (end) facts.end = end.reason === "killed-by-others" ? await refineKill(c, end) : end;
  if (c.run) facts.live = await readLive(engine, c, facts.plan);
  const checks = facts.live ? compareLive(facts, facts.live) : [];
  return {
    about: {
      state: stateOf(c),
      id: c.id,
      name: c.name,
      image: c.imageName,
      ...(c.run && { pid: c.run.pid }),
    },
    warnings: gathered.warnings,
    sections: sectionsOf(facts, checks),
    facts,
    operations: operationFacts(gathered.planned.plan),
  };
}

function stateOf(c: ContainerRecord): ContainerExplanation["about"]["state"] {
  if (isPaused(c)) return "paused";
  if (c.run) return "running";
  if (isRestarting(c)) return "restarting";
  return hasNeverRun(c) && c.error === "" ? "created" : "ended";
}

function factsOf(engine: EngineContext, c: ContainerRecord, gathered: GatheredPlan): ExplainFacts {
  const plan = planFacts(gathered.planned);
  return {
    image: imageFacts(engine, c),
    plan,
    seccomp: seccompFacts(engine, c, gathered, plan.seccomp?.instructions ?? 0),
    network: networkFacts(engine, c, gathered),
    container: containerFacts(engine, c, gathered.spec),
  };
}
