export type * from "./contract.ts";
export { checkEntitlements } from "./entitlements.ts";
export {
  type BuildGraph,
  type GraphStage,
  type GraphStep,
  makeGraph,
  type Vertex,
} from "./graph.ts";
export * from "./language/index.ts";
export { neededBy, type SolveObserver, type SolverOptions, solve } from "./solver.ts";
