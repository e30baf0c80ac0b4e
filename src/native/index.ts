export type {
  Created,
  ExitStatus,
  Monitor,
  MonitorConfig,
  Native,
  PlanFailure,
  PlanResults,
} from "./contract.ts";
export type { Operation, OperationName, Patch, Plan, PlanHalf } from "./operations.ts";
export { operations } from "./operations.ts";
