export * from "./language/index.ts";
export type * from "./contract.ts";
export { type BuildGraph, type GraphStage, type GraphStep, makeGraph, type Vertex } from "./graph.ts";
export { neededBy, solve, type SolveObserver, type SolverOptions } from "./solver.ts";
