// A TCP proxy on loopback that breaks connections when it is told to, as networks do.

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export class CuttingProxy implements AsyncDisposable {
  /** After so many bytes of an answer or of a request the connection breaks; one entry a cut. */
  readonly cutAnswers: number[] = [];
  readonly cutRequests: number[] = [];
  cuts = 0;
  #server;
  #sockets = new Set<Socket>();

  private constructor(target: URL) {
    this.#server = createServer((client) => {
      const upstream = connect(Number(target.port), target.hostname);
      this.#relay(client, upstream, this.cutRequests);
      this.#relay(upstream, client, this.cutAnswers);
    });
  }

  static async listen(target: URL): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #relay(from: Socket, to: Socket, cuts: number[]): void {
    let passed = 0;
    this.#sockets.add(from);
    from.on("data", (chunk: Buffer) => {
      passed += chunk.length;
      const limit = cuts[0];
      if (limit !== undefined && passed > limit) {
        cuts.shift();
        this.cuts++;
        to.write(chunk.subarray(0, Math.max(0, chunk.length - (passed - limit))), () => {
          from.destroy();
          to.destroy();
        });
        return;
      }
      if (!to.write(chunk)) {
        from.pause();
        to.once("drain", () => from.resume());
      }
    });
    from.on("error", () => to.destroy());
    from.on("end", () => to.end());
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
