export { capabilitiesOf, capabilityMask, capabilityNames, fullMask } from "./capabilities.ts";
export { cgroupPathFor, cgroupPlaces } from "./cgroup/places.ts";
export {
  planCgroupParents,
  planCgroupRemove,
  planFreeze,
  planUpdate,
} from "./cgroup/plan-cgroup.ts";
export { type MetricsSample, sampleNow } from "./cgroup/sample-now.ts";
export type { ContainerStats } from "./cgroup/stats.ts";
export { readProcStat, readStats, StatsReader } from "./cgroup/stats-reader.ts";
export { CRIU_LOG, dumpArguments, ENGINE_WORDS, restoreArguments } from "./checkpoint/arguments.ts";
export { CRIU, criuFailed, criuMissing, runDump } from "./checkpoint/criu.ts";
export {
  type CheckpointFacts,
  checkSpec,
  FACTS_FILE,
  parseFacts,
  readFacts,
} from "./checkpoint/facts.ts";
export type {
  CgroupLayout,
  CreateInput,
  ForeignRuntime,
  KernelFeatures,
  NetDevice,
  NetworkShare,
  PlannedCreate,
} from "./contract.ts";
export { type OperationFact, operationFacts } from "./explain/describe-operation.ts";
export type { DeviceNode, MountFact, RootFact } from "./explain/mount-facts.ts";
export {
  type CapabilityFacts,
  type CgroupFact,
  type LimitFact,
  type NamespaceFact,
  type PlanFacts,
  type ProcessFacts,
  planFacts,
} from "./explain/plan-facts.ts";
export { runtimeFeatures } from "./features.ts";
export { parseIdMap } from "./id-maps.ts";
export { type MountInfo, parseMountinfo } from "./mountinfo.ts";
export { parseCpuList } from "./number-list.ts";
export { planCreate } from "./plan-create.ts";
export { configWarnings, processWarnings } from "./plan-credentials.ts";
export { type ExecInput, planExec } from "./plan-exec.ts";
export { foreignSource, isPrepared } from "./plan-foreign.ts";
export { hasHooks, hooksDeadlineMs, type OciState, planHooks } from "./plan-hooks.ts";
export { netDeviceNames, netDeviceQuery, readNetDevice } from "./plan-net-devices.ts";
export {
  planRdtRemove,
  planRdtUpdate,
  type RdtPlace,
  type RdtState,
  rdtClassOf,
} from "./plan-rdt.ts";
export { planRestore, type RestoreInput } from "./plan-restore.ts";
export { probeKernel } from "./probe.ts";
export { cgroupSupport } from "./probe-warnings.ts";
export { planSeccompAgent } from "./seccomp/agent.ts";
export { defaultSeccomp, kernelAtLeast, parseSeccomp } from "./seccomp/docker-profile.ts";
