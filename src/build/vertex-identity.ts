// A name for an operation before anything has run: a digest of what it does and of what it reads,
// where other operations count by their own identity. Two platforms' operations with one identity
// are one; a build that is run again has the same ones, so its progress can be compared.

import { digestOf } from "../spec/index.ts";
import type { CopyOperation, Input, Operation } from "./graph.ts";

export function identityOf(base: Input, operation: Operation): string {
  return digestOf(JSON.stringify([inputIdentity(base), ...operationIdentity(operation)]));
}

function inputIdentity(input: Input): unknown {
  switch (input.kind) {
    case "vertex":
      return input.vertex.identity;
    case "root":
      return input.root.layers;
    case "context":
      return `context ${input.name}`;
  }
}

function operationIdentity(operation: Operation): unknown[] {
  switch (operation.kind) {
    case "run": {
      const mounts = operation.mounts.map(({ mount, from }) => [mount, inputIdentity(from)]);
      return [{ ...operation, mounts }];
    }
    case "copy":
      return [{ ...operation, sources: operation.sources.map(sourceIdentity) }];
    case "folder":
      return [operation];
  }
}

function sourceIdentity({ from, paths }: CopyOperation["sources"][number]): unknown {
  return [from.kind === "download" ? from.download : inputIdentity(from), paths];
}
