export { rootKey } from "./cache-key.ts";
export type * from "./contract.ts";
export { checkEntitlements } from "./entitlements.ts";
export {
  type BuildGraph,
  type GraphStage,
  type Input,
  makeGraph,
  makeGraphs,
  type Operation,
  type Vertex,
} from "./graph.ts";
export * from "./language/index.ts";
export {
  type Outline,
  outlineOf,
  targetsOf,
} from "./outline.ts";
export {
  neededBy,
  type SolveObserver,
  solve,
  solveAll,
  type VertexLookup,
  type VertexOutcome,
} from "./solver.ts";
