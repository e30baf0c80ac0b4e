export type {
  Created,
  ExitStatus,
  Monitor,
  MonitorConfig,
  MonitorLog,
  Native,
  PlanFailure,
  PlanResults,
} from "./contract.ts";
export {
  type DirectAnswer,
  decodeAnswer,
  directEvents,
  encodeDirect,
  encodeSuccess,
} from "./direct.ts";
export { encodeMonitorConfig, encodePlan } from "./encode.ts";
export { resultsOf } from "./failure.ts";
export { formatOperation, formatPlan } from "./format.ts";
export { errnoName } from "./frames.ts";
export { connectMonitor, readExitRecord } from "./monitor.ts";
export type { Operation, OperationName, Patch, Plan, PlanHalf } from "./operations.ts";
export { operations } from "./operations.ts";
export { type Recorded, Recorder } from "./recorder.ts";
export { initProgramPath, keptProgramPath, nativeProgramPath, Spawner } from "./spawner.ts";
