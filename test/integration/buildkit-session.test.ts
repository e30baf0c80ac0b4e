// A client's session over a real socket: folders, secrets, agents, uploads, files and stores both
// ways; clients that lie, stall or go away.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { GantryError } from "../../src/base/index.ts";
import type { BuildJob, BuildSession, ClientFile } from "../../src/engine/index.ts";
import { auth, content, secrets, ssh, upload } from "../../src/gen/buildkit/index.ts";
import {
  FrameReader,
  framed,
  PACKET,
  type Packet,
  PacketWriter,
  readPacket,
} from "../../src/wire/index.ts";
import { fakeEngine } from "../fakes/engine.ts";
import {
  accept,
  type BuildkitServer,
  type GrpcClients,
  openSession,
  type SessionOptions,
  serveBuildkit,
} from "../support/buildkit-client.ts";

const fake = fakeEngine();
const never = new AbortController().signal;
const DIFF_COPY = "/moby.filesync.v1.FileSync/DiffCopy";
const FILE_SEND = "/moby.filesync.v1.FileSend/DiffCopy";
const FORWARD_AGENT = "/moby.sshforward.v1.SSH/ForwardAgent";
const GET_SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
let server: BuildkitServer;
let path: string;
let grpc: GrpcClients;

before(async () => {
  server = await serveBuildkit(fake.engine);
  ({ path, grpc } = server);
});
after(() => server.close());

/** Runs `work` with the daemon's end of a session, as a build would have it. */
async function inBuild<T>(
  options: Omit<SessionOptions, "id">,
  work: (session: BuildSession, client: Duplex) => Promise<T>,
): Promise<T> {
  const id = randomBytes(8).toString("hex");
  const client = await openSession(path, { id, ...options });
  let result: { value: T } | { error: unknown } | undefined;
  fake.answers.set("builds.solve", async ({ session }: BuildJob) => {
    result = await work(session!, client).then(
      (value) => ({ value }),
      (error) => ({ error }),
    );
    return { metadata: {}, images: [], warnings: [] };
  });
  await grpc.control
    .solve({ ref: id, session: id, frontend: "dockerfile.v0" })
    .catch((error) => assert(result, `the build did not run: ${error}`));
  client.destroy();
  if ("error" in result!) throw result.error;
  return result!.value;
}

const file = (name: string, changes: Partial<ClientFile> = {}): ClientFile => ({
  ...{ path: name, mode: 0o100644, uid: 0, gid: 0, size: 0, modifiedNs: 0n, linkname: "" },
  ...{ devMajor: 0, devMinor: 0, xattrs: new Map(), ...changes },
});
const dir = (name: string): ClientFile => file(name, { mode: 0o040755 });

type PacketFields = Parameters<PacketWriter["write"]>[0];

function framedPacket(packet: PacketFields): Buffer {
  const writer = new PacketWriter();
  writer.write(packet);
  return writer.take();
}

/** The client's end of a folder: every packet that comes, and a way to send. */
function packets(
  stream: ServerHttp2Stream,
  each: (packet: Packet) => void,
): (packet: PacketFields) => void {
  accept(stream);
  const frames = new FrameReader();
  stream.on("data", (chunk: Buffer) => frames.push(chunk, (bytes) => each(readPacket(bytes))));
  return (packet) => void stream.write(framedPacket(packet));
}

/** Serves files as fsutil's sender does. */
function sender(files: readonly [ClientFile, string?][]) {
  return (stream: ServerHttp2Stream): void => {
    const send = packets(stream, ({ type, id }) => {
      if (type === PACKET.request) {
        const text = files[id]?.[1] ?? "";
        if (text !== "") send({ type: PACKET.data, id, data: Buffer.from(text) });
        send({ type: PACKET.data, id });
      } else if (type === PACKET.finish) {
        send({ type: PACKET.finish });
        stream.end();
      }
    });
    for (const [stat] of files) send({ type: PACKET.stat, stat });
    send({ type: PACKET.stat });
  };
}

const REQUEST = { name: "context", include: [], exclude: [], followPaths: [] };
const folderOf = (stream: (stream: ServerHttp2Stream, headers: never) => void) => ({
  methods: [DIFF_COPY],
  streams: { [DIFF_COPY]: stream as (stream: ServerHttp2Stream) => void },
});

async function text(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test("a folder comes whole: names in order, and the contents that are asked for", async () => {
  const files: [ClientFile, string?][] = [
    [dir("a")],
    [
      file("a/b.txt", { size: 5, uid: 12, gid: 13, modifiedNs: 1_700_000_000_123_456_789n }),
      "hello",
    ],
    [file("a/empty")],
    [
      file("a-b", { mode: 0o104755, xattrs: new Map([["user.x", Buffer.from("y")]]) }),
      "x".repeat(200_000),
    ],
    [file("ö", { mode: 0o120777, linkname: "a/b.txt" })],
  ];
  const seen = await inBuild(folderOf(sender(files)), async (session) => {
    await using received = await session.openFolder(REQUEST, { signal: never });
    const names: ClientFile[] = [];
    for await (const entry of received.entries) names.push(entry);
    const contents = await Promise.all([1, 2, 3].map((index) => text(received.content(index))));
    await received.finish();
    return { names, contents };
  });
  assert.deepEqual(
    seen.names.map((entry) => ({ ...entry, xattrs: [...entry.xattrs.keys()] })),
    files.map(([entry]) => ({ ...entry, xattrs: [...entry.xattrs.keys()] })),
  );
  assert.deepEqual(seen.contents, ["hello", "", "x".repeat(200_000)]);
});

test("what a folder is asked for with goes as BuildKit writes it, escaped where it is not ASCII", async () => {
  let asked: Record<string, unknown> = {};
  const stream = (raw: ServerHttp2Stream, headers: Record<string, unknown>) => {
    asked = headers;
    sender([])(raw);
  };
  await inBuild(folderOf(stream as never), async (session) => {
    const request = { name: "docs", include: ["src", "a b"], exclude: ["*.ö+"], followPaths: [] };
    await using received = await session.openFolder(request, { signal: never });
    for await (const _ of received.entries) assert.fail("there is nothing");
    await received.finish();
  });
  assert.equal(asked["dir-name"], "docs");
  assert.equal(asked["include-patterns"], "src, a b");
  assert.equal(asked["include-patterns-encoded"], undefined);
  assert.equal(asked["exclude-patterns"], "%2A.%C3%B6%2B");
  assert.equal(asked["exclude-patterns-encoded"], "1");
  assert.equal(asked["followpaths"], undefined);
});

const liars: readonly (readonly [string, RegExp, Buffer[]])[] = [
  ["a name that leads out", /clean relative path/, [stat(file("../x"))]],
  [
    "a name that leads out further in",
    /clean relative path/,
    [stat(dir("a")), stat(file("a/../../x"))],
  ],
  ["an absolute name", /clean relative path/, [stat(file("/etc/passwd"))]],
  ["names that are out of order", /out of order/, [stat(file("b")), stat(file("a"))]],
  ["one name twice", /out of order/, [stat(file("a")), stat(file("a"))]],
  ["a file without its folder", /without its folder/, [stat(file("a/b"))]],
  [
    "a file beneath a link",
    /without its folder/,
    [stat(file("a", { mode: 0o120777, linkname: "/" })), stat(file("a/b"))],
  ],
  [
    "contents that nobody asked for",
    /nobody asked for/,
    [framedPacket({ type: PACKET.data, id: 7, data: Buffer.from("x") })],
  ],
  ["a packet of an unknown kind", /kind 9/, [framedPacket({ type: 9 })]],
  ["a packet that is none", /broken packet/, [framed(Buffer.from([0x12, 0xff, 0x7f]))]],
  [
    "a message longer than is allowed",
    /longer than allowed/,
    [Buffer.from([0, 0xff, 0xff, 0xff, 0xff])],
  ],
  ["a compressed message", /compressed/, [Buffer.from([1, 0, 0, 0, 1, 0])]],
];
function stat(entry: ClientFile): Buffer {
  return framedPacket({ type: PACKET.stat, stat: entry });
}

for (const [what, message, frames] of liars) {
  test(`a client that sends ${what} is refused, and its stream reset`, async () => {
    const closed = Promise.withResolvers<number>();
    const stream = (raw: ServerHttp2Stream): void => {
      accept(raw);
      raw.resume();
      raw.on("close", () => closed.resolve(raw.rstCode));
      for (const bytes of frames) raw.write(bytes);
    };
    await inBuild(folderOf(stream), async (session) => {
      await using received = await session.openFolder(REQUEST, { signal: never });
      await assert.rejects(async () => {
        for await (const _ of received.entries);
      }, message);
      await assert.rejects(text(received.content(0)), message);
    });
    assert.equal(await closed.promise, 8); // CANCEL
  });
}

test("a client is held back while the contents that it sends are not read", async () => {
  let sent = 0;
  const total = 128 * 1024 * 1024;
  const stream = (raw: ServerHttp2Stream): void => {
    const send = packets(raw, ({ type, id }) => {
      if (type === PACKET.finish) {
        send({ type: PACKET.finish });
        raw.end();
      }
      if (type !== PACKET.request) return;
      const frame = framedPacket({ type: PACKET.data, id, data: Buffer.alloc(256 * 1024) });
      const more = (): void => {
        while (sent < total) {
          sent += 256 * 1024;
          if (!raw.write(frame)) return void raw.once("drain", more);
        }
        send({ type: PACKET.data, id });
      };
      more();
    });
    send({ type: PACKET.stat, stat: file("big", { size: total }) });
    send({ type: PACKET.stat });
  };
  await inBuild(
    {
      methods: [DIFF_COPY, GET_SECRET],
      streams: { [DIFF_COPY]: stream },
      routes: (router) =>
        router.service(secrets.Secrets, { getSecret: () => ({ data: Buffer.from(String(sent)) }) }),
    },
    async (session) => {
      await using received = await session.openFolder(REQUEST, { signal: never });
      const pieces = received.content(0)[Symbol.asyncIterator]();
      await pieces.next();
      // The answer comes behind whatever the client could send before it.
      let known = -1;
      for (let now = 0; now !== known; ) {
        known = now;
        now = Number(await session.secret("sent", { signal: never }));
      }
      assert(known < 16 * 1024 * 1024, `the client sent ${known} bytes that nobody read`);
      let bytes = 0;
      for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
        bytes += next.value.length;
      }
      assert(bytes > total - 1024 * 1024);
      await received.finish();
    },
  );
});

test("an aborted signal resets the folder's stream and leaves the session", async () => {
  const closed = Promise.withResolvers<number>();
  const stream = (raw: ServerHttp2Stream): void => {
    packets(raw, () => {})({ type: PACKET.stat, stat: file("a") });
    raw.on("close", () => closed.resolve(raw.rstCode));
  };
  await inBuild(
    {
      methods: [DIFF_COPY, GET_SECRET],
      streams: { [DIFF_COPY]: stream },
      routes: (router) =>
        router.service(secrets.Secrets, { getSecret: () => ({ data: Buffer.from("s") }) }),
    },
    async (session) => {
      const abort = new AbortController();
      const received = await session.openFolder(REQUEST, { signal: abort.signal });
      const names = received.entries[Symbol.asyncIterator]();
      await names.next();
      const content = received.content(0)[Symbol.asyncIterator]().next();
      abort.abort(new GantryError("cancelled", "enough"));
      await assert.rejects(names.next(), /enough/);
      await assert.rejects(content, /enough/);
      assert.equal(await closed.promise, 8);
      assert.equal(String(await session.secret("x", { signal: never })), "s");
    },
  );
});

test("a client that goes away fails what waits for it, and its build", async () => {
  const stream = (raw: ServerHttp2Stream): void => {
    packets(raw, () => {})({ type: PACKET.stat, stat: file("a") });
  };
  await inBuild(folderOf(stream), async (session, client) => {
    const received = await session.openFolder(REQUEST, { signal: never });
    const names = received.entries[Symbol.asyncIterator]();
    await names.next();
    const gone = new Promise((resolve) => session.closed.addEventListener("abort", resolve));
    const next = names.next();
    client.destroy();
    await assert.rejects(next, /the client has gone/);
    await assert.rejects(received.finish(), /the client has gone/);
    await gone;
    await assert.rejects(session.openFolder(REQUEST, { signal: never }), /the client has gone/);
  });
});

test("a folder whose client stops half-way does not look whole", async () => {
  const stream = (raw: ServerHttp2Stream): void => {
    packets(raw, () => {})({ type: PACKET.stat, stat: file("a") });
    raw.end();
  };
  await inBuild(folderOf(stream), async (session) => {
    await using received = await session.openFolder(REQUEST, { signal: never });
    await assert.rejects(async () => {
      for await (const _ of received.entries);
    }, /did not all come|stopped sending/);
    await assert.rejects(received.finish(), /stopped sending/);
  });
});

test("what a client has no access to is told in its own words", async () => {
  const stream = (raw: ServerHttp2Stream): void =>
    void raw.respond(
      {
        ...{ ":status": 200, "content-type": "application/grpc", "grpc-status": "5" },
        "grpc-message": "no access allowed to dir %22x%22",
      },
      { endStream: true },
    );
  await inBuild(folderOf(stream), async (session) => {
    await using received = await session.openFolder(REQUEST, { signal: never });
    await assert.rejects(received.finish(), {
      kind: "not-found",
      message: 'no access allowed to dir "x"',
    });
  });
});

test("secrets, credentials and agents are what the client says, and nothing where it has none", async () => {
  const offered = {
    methods: [
      ...[GET_SECRET, "/moby.filesync.v1.Auth/Credentials"],
      ...["/moby.sshforward.v1.SSH/CheckAgent", "/moby.sshforward.v1.SSH/ForwardAgent"],
    ],
    routes: (router: Parameters<NonNullable<SessionOptions["routes"]>>[0]) => {
      router.service(secrets.Secrets, {
        getSecret: ({ id }) => {
          if (id === "huge") return { data: Buffer.alloc(600 * 1024) };
          if (id !== "token") throw new ConnectError("secret not found", Code.NotFound);
          return { data: Buffer.from("s3cret") };
        },
      });
      router.service(auth.Auth, {
        credentials: ({ host }) => {
          if (host === "a.example") return { username: "me", secret: "pw" };
          return host === "b.example" ? { secret: "refresh" } : {};
        },
      });
      router.service(ssh.SSH, {
        checkAgent: ({ id }) => {
          if (id !== "default") throw new ConnectError(`unset ssh forward key ${id}`, Code.Unknown);
          return {};
        },
        forwardAgent: async function* (messages, { requestHeader }) {
          const id = requestHeader.get("buildkit.ssh.id");
          for await (const { data } of messages) {
            yield { data: Buffer.concat([Buffer.from(`${id}:`), data]) };
          }
        },
      });
    },
  };
  await inBuild(offered, async (session) => {
    const o = { signal: never };
    assert.equal(String(await session.secret("token", o)), "s3cret");
    assert.equal(await session.secret("other", o), undefined);
    await assert.rejects(session.secret("huge", o), /more than 512000 bytes/);
    assert.deepEqual(await session.credentials("a.example", o), { username: "me", password: "pw" });
    assert.deepEqual(await session.credentials("b.example", o), { identityToken: "refresh" });
    assert.equal(await session.credentials("c.example", o), undefined);
    assert.equal(await session.hasSshAgent("default", o), true);
    assert.equal(await session.hasSshAgent("other", o), false);
    const agent = await session.connectSshAgent("default", o);
    agent.end("sign");
    assert.equal(await text(agent), "default:sign");
  });
  await inBuild({ methods: [] }, async (session) => {
    const o = { signal: never };
    assert.equal(await session.secret("token", o), undefined);
    assert.equal(await session.credentials("a.example", o), undefined);
    assert.equal(await session.hasSshAgent("default", o), false);
    await assert.rejects(session.openFolder(REQUEST, o), /no local sources enabled/);
  });
});

test("an upload is read as it comes", async () => {
  await inBuild(
    {
      methods: ["/moby.upload.v1.Upload/Pull"],
      routes: (router) =>
        router.service(upload.Upload, {
          pull: async function* (_messages, { requestHeader }) {
            yield { data: Buffer.from(`${requestHeader.get("urlpath")} `) };
            yield { data: Buffer.alloc(3_000_000, "x") };
          },
        }),
    },
    async (session) => {
      const url = "http://buildkit-session/abc";
      const bytes = await text(await session.openUpload(url, { signal: never }));
      assert.equal(bytes, `/abc ${"x".repeat(3_000_000)}`);
    },
  );
});

test("a file is sent with what is known of it, and is there when the client has it all", async () => {
  const got: { headers: Record<string, unknown>; text: string }[] = [];
  const stream = (raw: ServerHttp2Stream, headers: Record<string, unknown>): void => {
    accept(raw);
    const frames = new FrameReader();
    let whole = "";
    raw.on("data", (chunk: Buffer) =>
      frames.push(chunk, (bytes) => {
        whole += bytes.subarray(bytes.length > 130 ? 4 : 2).toString();
      }),
    );
    raw.on("end", () => {
      got.push({ headers, text: whole });
      raw.end();
    });
  };
  const options = { methods: [FILE_SEND], streams: { [FILE_SEND]: stream as never } };
  await inBuild(options, async (session) => {
    const output = { exporter: "3", metadata: { "containerimage.digest": "sha256:1" } };
    async function* bytes(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("one ");
      yield Buffer.alloc(20_000, "y");
    }
    await session.sendFile(output, bytes(), { signal: never });
  });
  assert.equal(got[0]!.headers["buildkit-attachable-exporter-id"], "3");
  assert.equal(got[0]!.headers["exporter-md-containerimage.digest"], "sha256:1");
  assert.equal(got[0]!.text, `one ${"y".repeat(20_000)}`);
});

test("a folder is sent file by file, contents as the client asks for them", async () => {
  const names: (ClientFile | undefined)[] = [];
  const contents = new Map<number, string>();
  const stream = (raw: ServerHttp2Stream): void => {
    let open = 0;
    const send = packets(raw, ({ type, id, stat: entry, data }) => {
      if (type === PACKET.stat) {
        if (entry && entry.path !== "" && (entry.mode & 0o170000) === 0o100000 && !entry.linkname) {
          open++;
          send({ type: PACKET.request, id: names.length });
        }
        names.push(entry);
      } else if (type === PACKET.data && data.length > 0) {
        contents.set(id, (contents.get(id) ?? "") + String(data));
      } else if (type === PACKET.data && --open === 0) send({ type: PACKET.finish });
      else if (type === PACKET.finish) raw.end();
    });
  };
  const files = [
    ...[dir("bin"), file("bin/tool", { mode: 0o104755, size: 100_000 })],
    ...[file("bin/tool-2", { linkname: "bin/tool" }), file("z", { size: 1 })],
  ];
  await inBuild({ methods: [FILE_SEND], streams: { [FILE_SEND]: stream } }, async (session) => {
    await session.sendFolder(
      { exporter: "0" },
      {
        entries: (async function* () {
          yield* files;
        })(),
        open: async function* (name) {
          yield Buffer.alloc(name === "z" ? 1 : 100_000, name === "z" ? "z" : "t");
        },
      },
      { signal: never },
    );
  });
  assert.deepEqual(
    names.map((entry) => entry?.path),
    ["bin", "bin/tool", "bin/tool-2", "z", undefined],
  );
  assert.deepEqual(
    [...contents].map(([id, bytes]) => [id, bytes.length]),
    [
      [1, 100_000],
      [3, 1],
    ],
  );
});

test("a client's content store is read and written", async () => {
  const blobs = new Map([["sha256:a", Buffer.alloc(700_000, "a")]]);
  const labels: Record<string, string>[] = [];
  const { WriteAction } = content;
  await inBuild(
    {
      methods: ["Info", "Read", "Write"].map(
        (name) => `/containerd.services.content.v1.Content/${name}`,
      ),
      routes: (router) =>
        router.service(content.Content, {
          info: ({ digest }) => {
            const found = blobs.get(digest);
            if (!found) throw new ConnectError("not found", Code.NotFound);
            return { info: { digest, size: BigInt(found.length) } };
          },
          read: async function* ({ digest }, { requestHeader }) {
            assert.equal(requestHeader.get("buildkit-attachable-store-id"), "local:/x");
            const found = blobs.get(digest)!;
            for (let at = 0; at < found.length; at += 100_000) {
              yield { offset: BigInt(at), data: found.subarray(at, at + 100_000) };
            }
          },
          write: async function* (messages) {
            const parts: Uint8Array[] = [];
            for await (const message of messages) {
              const { action, data, expected } = message;
              parts.push(data);
              const offset = BigInt(parts.reduce((sum, { length }) => sum + length, 0));
              if (action === WriteAction.STAT && blobs.has(expected)) {
                throw new ConnectError("exists", Code.AlreadyExists);
              }
              if (action === WriteAction.COMMIT) {
                blobs.set(expected, Buffer.concat(parts));
                labels.push(message.labels);
              }
              yield { action, offset };
            }
          },
        }),
    },
    async (session) => {
      const o = { signal: never };
      const store = session.contentStore("local:/x");
      assert.equal(await store.size("sha256:a", o), 700_000);
      assert.equal(await store.size("sha256:none", o), undefined);
      assert.equal((await text(store.read("sha256:a", o))).length, 700_000);
      async function* bytes(): AsyncGenerator<Uint8Array> {
        yield Buffer.alloc(600_000, "b");
      }
      const blob = { digest: "sha256:b", size: 600_000, labels: { kept: "yes" } };
      await store.write(blob, bytes(), o);
      await store.write(blob, bytes(), o);
    },
  );
  assert.equal(String(blobs.get("sha256:b")), "b".repeat(600_000));
  assert.deepEqual(labels, [{ kept: "yes" }]);
});

test("a client that goes while its agent waits to be used harms nobody", async () => {
  const methods = ["/moby.sshforward.v1.SSH/CheckAgent", FORWARD_AGENT];
  const streams = {
    [FORWARD_AGENT]: (stream: ServerHttp2Stream) => {
      stream.on("error", () => {});
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
    },
  };
  // An error that nobody listens to would end this very process.
  const agent = await inBuild({ methods, streams }, async (session, client) => {
    const found = await session.connectSshAgent("default", { signal: never });
    client.destroy();
    return found;
  });
  if (!agent.closed) await new Promise((resolve) => agent.once("close", resolve));
  assert.equal(agent.destroyed, true);
});
