import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { queryString, readAll } from "./client.ts";
import { HttpConnection } from "./http1.ts";
import { jsonValues } from "./json-stream.ts";
import { StdDemultiplexer } from "./stdcopy.ts";

/** A connection whose peer answers with these bytes, in pieces. */
function connectionTo(...pieces: string[]): { connection: HttpConnection; sent: () => string } {
  let sent = "";
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      sent += chunk.toString();
      done();
    },
  });
  for (const piece of pieces) socket.push(piece);
  return { connection: new HttpConnection(socket), sent: () => sent };
}

test("a body of known length leaves the connection usable", async () => {
  const { connection, sent } = connectionTo(
    "HTTP/1.1 200 OK\r\nContent-Le",
    "ngth: 5\r\nX: 1\r\nX: 2\r\n\r\nhello",
    "HTTP/1.1 204 No Content\r\n\r\n",
  );
  const first = await connection.request("GET", "/a", { Host: "h" });
  assert.equal(first.headers["x"], "1, 2");
  assert.equal(await readAll(first.body), "hello");
  const second = await connection.request("POST", "/b", { Host: "h" }, "body");
  assert.equal(second.status, 204);
  assert.equal(await readAll(second.body), "");
  assert.match(sent(), /POST \/b HTTP\/1\.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody$/);
});

test("a chunked body is joined, extensions and trailers are skipped", async () => {
  const { connection } = connectionTo(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n",
    "4\r\ndefg\r\n0\r\nT: 1\r\n\r\n",
  );
  const { body } = await connection.request("GET", "/", {});
  assert.equal(await readAll(body), "abcdefg");
  assert.equal(connection.reusable, true);
});

test("a stream is sent in chunks", async () => {
  const { connection, sent } = connectionTo("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  const body = async function* () {
    yield Buffer.from("abc");
    yield Buffer.from("de");
  };
  await readAll((await connection.request("POST", "/", {}, body())).body);
  assert.match(sent(), /Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n$/);
});

test("what follows a 101 answer stays in the raw stream", async () => {
  const { connection } = connectionTo("HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nraw bytes");
  await connection.request("POST", "/attach", {});
  const stream = connection.release();
  assert.equal((stream.read() as Buffer).toString(), "raw bytes");
});

test("a truncated body is an error, not an end", async () => {
  const { connection } = connectionTo("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
  const { body } = await connection.request("GET", "/", {});
  connection.socket.push(null);
  await assert.rejects(readAll(body), /EOF/);
});

test("queries are sorted, booleans are 1 and 0, lists are repeated", () => {
  const query = queryString({ b: true, a: ["x y", "z"], c: undefined, d: false, e: 5 });
  assert.equal(query, "?a=x%20y&a=z&b=1&d=0&e=5");
});

test("frames of a multiplexed stream are split wherever they are cut", () => {
  const header = (stream: number, length: number) =>
    Buffer.from([stream, 0, 0, 0, 0, 0, 0, length]);
  const whole = Buffer.concat([header(1, 3), Buffer.from("out"), header(2, 2), Buffer.from("er")]);
  for (let size = 1; size <= whole.length; size++) {
    const demultiplexer = new StdDemultiplexer();
    const texts = ["", "", ""];
    for (let at = 0; at < whole.length; at += size) {
      for (const { stream, data } of demultiplexer.push(whole.subarray(at, at + size))) {
        texts[stream] += data.toString();
      }
    }
    assert.deepEqual(texts, ["", "out", "er"]);
  }
});

test("JSON values are found without newlines and across chunks", async () => {
  const source = async function* () {
    yield Buffer.from('{"a":"}{"}{"b":');
    yield Buffer.from('[1,{"c":"\\"]"}]}\r\n{"d":"é');
    yield Buffer.from('"}');
  };
  const values: unknown[] = [];
  for await (const value of jsonValues(source())) values.push(value);
  assert.deepEqual(values, [{ a: "}{" }, { b: [1, { c: '"]' }] }, { d: "é" }]);
});
