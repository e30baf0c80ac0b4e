// Our requests and refusals against those of the stock client, recorded in test/golden/.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { GantryError, parseFlags } from "../../base/index.ts";
import { CREATE_FLAGS } from "./flags.ts";
import { containerRequest } from "./request.ts";

interface Recorded {
  flags: string[];
  query?: Record<string, string>;
  body?: Record<string, unknown>;
  stderr?: string;
}
const recorded = JSON.parse(
  readFileSync(new URL("../../../test/golden/run-requests.json", import.meta.url), "utf8"),
) as Recorded[];

function withoutZeros(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutZeros);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, item]) => [key, withoutZeros(item)] as const)
      .filter(([, item]) => item !== null && item !== "" && item !== 0 && item !== false)
      .filter(([, item]) => item !== undefined),
  );
}

/** docker sends variables and binds in the order of a Go map, which is none. */
function sorted(body: unknown): unknown {
  const { Env, ...rest } = body as { Env?: string[]; HostConfig: { Binds?: string[] } };
  rest.HostConfig.Binds?.sort();
  return Env ? { ...rest, Env: [...Env].sort() } : rest;
}

function requestOf(flags: string[]): unknown {
  const parsed = parseFlags(CREATE_FLAGS, [...flags, "alpine", "cmd", "-x"], {
    interspersed: false,
  });
  const request = containerRequest(parsed, {
    env: { GOLDEN_SET: "v" },
    cwd: "/",
    path: (file) => file,
  });
  const { MacAddress: _, ...config } = request.config;
  return withoutZeros({
    ...config,
    HostConfig: request.hostConfig,
    NetworkingConfig: request.networkingConfig,
  });
}

for (const { flags, body, stderr } of recorded) {
  const line = flags.join(" ");
  if (body) {
    test(`create ${line} asks for what docker asks for`, () => {
      assert.deepEqual(sorted(requestOf(flags)), sorted(body));
    });
  } else {
    test(`create ${line} is refused as docker refuses it`, () => {
      // --pull and --cidfile are checked outside of the pure part.
      if (/--(pull|cidfile)/.test(line)) return;
      const wanted = stderr!.replace(/^docker: /, "").split("\n\n")[0];
      assert.throws(
        () => requestOf(flags),
        (error) => {
          assert.ok(error instanceof GantryError);
          assert.equal(error.message, wanted);
          return true;
        },
      );
    });
  }
}
