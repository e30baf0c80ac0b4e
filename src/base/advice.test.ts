import assert from "node:assert/strict";
import { test } from "node:test";
import { adviceLines, adviceOf, withAdvice } from "./advice.ts";
import { GantryError } from "./errors.ts";

test("advice leaves an error's message, kind and detail as they are", () => {
  const error = new GantryError("conflict", "in use", { detail: { errno: "EBUSY" } });
  const told = withAdvice(error, { cause: "why", remedy: ["do this", "or that"] });
  assert.deepEqual(
    [told.kind, told.message, told.detail["errno"]],
    ["conflict", "in use", "EBUSY"],
  );
  assert.deepEqual(adviceLines(adviceOf(told)!), [
    "cause: why",
    "remedy: do this",
    "remedy: or that",
  ]);
});

test("no advice leaves the error itself", () => {
  const error = new GantryError("invalid", "no");
  assert.equal(withAdvice(error, undefined), error);
  assert.equal(withAdvice(error, {}), error);
  assert.equal(adviceOf(new Error("x")), undefined);
});
