// A connection to a client's ssh agent, forwarded through its session: bytes both ways, each side
// held back while the other does not read.

import { Duplex } from "node:stream";
import { bytesMessage, readBytesMessage } from "./bytes-message.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { GrpcCall } from "./grpc-call.ts";

const FORWARD_AGENT = "/moby.sshforward.v1.SSH/ForwardAgent";

export function connectAgent(
  connection: ClientConnection,
  id: string,
  signal: AbortSignal,
): Duplex {
  const stop = new AbortController();
  const duplex = new Duplex({
    read: () => call.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      const wait = call.send(bytesMessage(chunk));
      if (wait) void wait.then(() => done());
      else done();
    },
    final: (done) => {
      call.finish();
      done();
    },
    destroy: (error, done) => {
      stop.abort(error ?? undefined);
      done(error);
    },
  });
  // A client may go while nobody listens yet: that is no reason for the daemon to end.
  duplex.on("error", () => {});
  const call: GrpcCall = connection.call({
    path: FORWARD_AGENT,
    metadata: { "buildkit.ssh.id": id },
    signal: AbortSignal.any([signal, stop.signal]),
    message: (bytes) => {
      if (!duplex.push(Buffer.from(readBytesMessage(bytes)))) call.pause();
    },
    ended: (error) => {
      if (error === undefined) duplex.push(null);
      else duplex.destroy(error instanceof Error ? error : undefined);
    },
  });
  return duplex;
}
