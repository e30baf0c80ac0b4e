import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../../base/index.ts";
import type { Operation } from "../../native/index.ts";
import type { ContainerRecord } from "./record.ts";
import { explainExecFailure, explainStartFailure } from "./start-failure.ts";

function failure(operation: Operation, errno: string): GantryError {
  const detail = {
    half: "container",
    index: 3,
    operation,
    errno,
    number: 0,
    text: "",
    teardown: [],
  };
  return new GantryError("internal", "the plan failed", { detail });
}
const execve = (name: string): Operation => ({ op: "execve", argv: [name], env: [] });
const container = { path: "x" } as ContainerRecord;

/** Words that the docker CLI looks for, and the code that it then exits with. */
const cases: [Operation, errno: string, says: RegExp, exitCode: number][] = [
  [
    execve("nosuch"),
    "ENOENT",
    /exec: "nosuch": executable file not found in \$PATH: unknown$/,
    127,
  ],
  [execve("/no"), "ENOENT", /exec: "\/no": stat \/no: no such file or directory: unknown$/, 127],
  [execve("/etc"), "EACCES", /exec: "\/etc": permission denied: unknown$/, 126],
  [execve("/etc"), "EISDIR", /exec: "\/etc": is a directory: unknown$/, 126],
  [execve("/x"), "ENOEXEC", /exec \/x: exec format error/, 126],
  [
    { op: "chdir", path: "/f" },
    "ENOTDIR",
    /chdir to cwd \("\/f"\) .*: not a directory: unknown$/,
    127,
  ],
  [{ op: "moveMount", slot: 1, path: "/f" }, "ENOTDIR", /directory onto a file/, 127],
];
for (const [operation, errno, says, exitCode] of cases) {
  test(`${errno} of ${operation.op} is said in docker's words and exits with ${exitCode}`, () => {
    const explained = explainStartFailure(container, failure(operation, errno));
    assert.match(explained.error.message, says);
    assert.match(explained.error.message, /^failed to create task for container: /);
    assert.equal(explained.exitCode, exitCode);
    assert.equal(explained.error.kind, "invalid");
  });
}

test("the failure of an exec has runc's words for it", () => {
  const { error, exitCode } = explainExecFailure("no", failure(execve("no"), "ENOENT"));
  assert.equal(
    error.message,
    "OCI runtime exec failed: exec failed: unable to start container process: " +
      'exec: "no": executable file not found in $PATH: unknown',
  );
  assert.equal(exitCode, 127);
});

test("any other error keeps its kind and its words", () => {
  const cause = new GantryError("conflict", "port is already allocated");
  const explained = explainStartFailure(container, cause);
  assert.equal(explained.error, cause);
  assert.equal(explained.exitCode, 128);
});
