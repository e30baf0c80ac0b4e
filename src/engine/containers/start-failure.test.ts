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

test("a kernel that makes no more user namespaces, or none, is told of with the remedy", () => {
  const mapped = { ...container, userns: { uid: [], gid: [] }, mounts: [] } as ContainerRecord;
  const clone: Operation = { op: "clone", flags: 0, pid: 0 };
  const make: Operation = { op: "makeUserns", uidMap: "", gidMap: "", to: 1 };
  const { error } = explainStartFailure(mapped, failure(clone, "ENOSPC"));
  assert.equal(error.kind, "exhausted");
  assert.match(error.message, /user\.max_user_namespaces/);
  assert.match(
    explainStartFailure(mapped, failure(make, "EINVAL")).error.message,
    /CONFIG_USER_NS/,
  );
  const other = explainStartFailure(mapped, failure(clone, "EAGAIN"));
  assert.match(other.error.message, /clone: resource temporarily unavailable/);
});

test("what cannot be id-mapped is named, with what can be done about it", () => {
  const mounts = [{ Source: "/data", Type: "volume" }];
  const mapped = {
    ...container,
    userns: { uid: [], gid: [] },
    mounts,
  } as unknown as ContainerRecord;
  const attribute = (of: string): Operation => ({ op: "mountAttr", slot: 1, userns: 2, of });
  const say = (c: ContainerRecord, of: string) =>
    explainStartFailure(c, failure(attribute(of), "EINVAL")).error.message;
  assert.match(say(mapped, "/data"), /of \/data: its file system does not .*idmap=none/);
  assert.match(say(mapped, "/var/lib/gantry/layers"), /layers: .*; use --userns=host$/);
  const plain = { ...container, mounts } as unknown as ContainerRecord;
  assert.match(say(plain, "/data"), /leave idmap out/);
});
