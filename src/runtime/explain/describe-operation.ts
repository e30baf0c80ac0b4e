// The operations of a plan in their order, each with its number in the vocabulary between
// TypeScript and the native program, for `explain --verbose`. Pure.

import {
  formatOperation,
  type Operation,
  operations,
  type Plan,
  type PlanHalf,
} from "../../native/index.ts";

export interface OperationFact {
  half: PlanHalf;
  index: number;
  name: string;
  /** Its number in the vocabulary (native/WIRE.md). */
  number: number;
  /** Its fields. */
  says: string;
}

const HALVES = ["host", "container", "teardown"] as const;

export function operationFacts(plan: Plan): OperationFact[] {
  return HALVES.flatMap((half) =>
    plan[half].map((operation, index) => ({
      half,
      index,
      name: operation.op,
      number: operations[operation.op].code,
      says: formatOperation(withoutSecrets(operation)).slice(operation.op.length).trim(),
    })),
  );
}

/** Values of the environment are for the program alone. */
function withoutSecrets(operation: Operation): Operation {
  if (operation.op !== "execve") return operation;
  return { ...operation, env: operation.env.map((pair) => pair.split("=")[0]!) };
}
