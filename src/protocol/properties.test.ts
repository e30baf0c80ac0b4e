import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GantryError } from "../base/index.ts";
import { createBodySchema, execStartBodySchema, updateBodySchema } from "./container-schemas.ts";
import { parseFilters } from "./filters.ts";
import { parseQuery } from "./query.ts";
import { compileRoutes } from "./route-table.ts";
import { routes } from "./routes.ts";
import { decode } from "./schema.ts";
import { encodeFrame, FrameDecoder } from "./stdcopy.ts";
import { encodeWebsocketFrame, WebsocketDecoder } from "./websocket.ts";

/** Only refusals in our own words may come out of a parser. */
function refusesOrReturns(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof GantryError && error.kind === "invalid", String(error));
  }
}
const fieldName = fc.constantFrom(
  ...["Image", "cmd", "ENV", "HostConfig", "Memory", "Mounts", "PortBindings", "Labels"],
  ...["NetworkingConfig", "EndpointsConfig", "Devices", "ConsoleSize", "__proto__", "constructor"],
);
const bodies = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.jsonValue(),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fieldName, tie("value"), { maxKeys: 5 }),
  ),
})).value;

test("any JSON is decoded or refused, and never pollutes a prototype", () => {
  fc.assert(
    fc.property(bodies, (body) => {
      for (const schema of [createBodySchema, updateBodySchema, execStartBodySchema]) {
        refusesOrReturns(() => decode(schema as typeof createBodySchema, body));
      }
      assert.deepEqual(Object.keys(Object.prototype), []);
    }),
  );
});

test("any query string and filter is read or refused", () => {
  const spec = { a: "bool", n: "int", h: "uint32", f: ["label"], m: "strings" } as const;
  fc.assert(
    fc.property(fc.string(), fc.json(), (text, json) => {
      refusesOrReturns(() => parseQuery(spec, new URLSearchParams(text)));
      refusesOrReturns(() => parseQuery(spec, new URLSearchParams({ n: text, h: text, f: json })));
      refusesOrReturns(() => parseFilters(text));
    }),
  );
});

test("any path finds a row or none", () => {
  const table = compileRoutes(routes);
  fc.assert(
    fc.property(fc.constantFrom("GET", "POST", "DELETE", "X"), fc.webPath(), (method, path) => {
      const found = table.find(method, path);
      assert.ok(found === undefined || found.route.spec.method === method);
    }),
  );
});

test("frames of both kinds come out as they went in, however they are cut", () => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 });
  fc.assert(
    fc.property(payloads, fc.integer({ min: 1, max: 50 }), (parts, step) => {
      const whole = Buffer.concat(parts);
      const frames = Buffer.concat(parts.map((part) => encodeFrame(1, part)));
      const decoder = new FrameDecoder();
      const seen: Uint8Array[] = [];
      for (const chunk of cut(frames, step)) {
        for (const { data } of decoder.push(chunk)) seen.push(data);
      }
      assert.deepEqual(Buffer.concat(seen), whole);

      const websocket = new WebsocketDecoder();
      const received: Buffer[] = [];
      for (const chunk of cut(Buffer.concat(parts.map(masked)), step)) {
        for (const { payload } of websocket.push(chunk)) received.push(payload);
      }
      assert.deepEqual(Buffer.concat(received), whole);
    }),
  );
});

function* cut(bytes: Buffer, step: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}

/** A binary frame as a client sends it. */
function masked(payload: Uint8Array): Buffer {
  const mask = [1, 2, 3, 250];
  const plain = encodeWebsocketFrame(2, payload);
  const headerBytes = plain.length - payload.length;
  const header = Buffer.from(plain.subarray(0, headerBytes));
  header[1]! |= 0x80;
  const body = Buffer.from(payload.map((byte, i) => byte ^ mask[i & 3]!));
  return Buffer.concat([header, Buffer.from(mask), body]);
}

test("garbage on a WebSocket is refused or ignored", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const decoder = new WebsocketDecoder();
      refusesOrReturns(() => [...decoder.push(Buffer.from(bytes))]);
    }),
  );
});
