// A SOCKS5 proxy of a test's own on the loopback (RFC 1928, RFC 1929): it leads every name to where
// the test says, and notes what it was asked.

import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface TestSocks extends AsyncDisposable {
  /** 127.0.0.1:PORT */
  host: string;
  /** "user:password" and "host:port", in the order in which they came. */
  asked: string[];
}

/** `leads` maps "host:port" to a port of the loopback. With `login` no other is let in. */
export async function serveSocks(
  leads: ReadonlyMap<string, number>,
  { login }: { login?: string } = {},
): Promise<TestSocks> {
  const sockets = new Set<Socket>();
  const asked: string[] = [];
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
  };
  const server = createServer((client) => {
    keep(client);
    void lead(client).catch(() => client.destroy());
  });
  async function lead(client: Socket): Promise<void> {
    const read = reader(client);
    const [, methods] = await read(2);
    const offered = await read(methods!);
    const method = login === undefined ? 0 : 2;
    if (!offered.includes(method)) return void client.end(Buffer.of(5, 0xff));
    client.write(Buffer.of(5, method));
    if (method === 2) {
      const user = String(await read((await read(2))[1]!));
      const given = `${user}:${await read((await read(1))[0]!)}`;
      asked.push(given);
      client.write(Buffer.of(1, given === login ? 0 : 1));
      if (given !== login) return void client.end();
    }
    const kind = (await read(4))[3];
    const name =
      kind === 3 ? String(await read((await read(1))[0]!)) : [...(await read(4))].join(".");
    const target = `${name}:${(await read(2)).readUInt16BE()}`;
    asked.push(target);
    const answer = (code: number) => Buffer.of(5, code, 0, 1, 0, 0, 0, 0, 0, 0);
    const port = leads.get(target);
    if (port === undefined) return void client.end(answer(2));
    const upstream = connect(port, "127.0.0.1", () => {
      client.write(answer(0));
      client.pipe(upstream).pipe(client);
    });
    keep(upstream);
    client.once("close", () => upstream.destroy());
    upstream.once("close", () => client.destroy());
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Gives so many bytes each time, however they come. */
function reader(socket: Socket): (count: number) => Promise<Buffer> {
  return async (count) => {
    if (count === 0) return Buffer.alloc(0);
    for (;;) {
      const bytes: Buffer | null = socket.read(count);
      if (bytes !== null) return bytes;
      if (socket.readableEnded || socket.destroyed) throw new Error("it ended");
      await new Promise<void>((resolve) => {
        socket.once("readable", resolve);
        socket.once("close", resolve);
      });
    }
  };
}
