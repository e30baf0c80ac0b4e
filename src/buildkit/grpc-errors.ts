// Errors as gRPC tells them: a code, a message, and for errors of a Dockerfile its lines, which
// BuildKit's clients print.

import { create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { GantryError, kindOf, type Logger, messageOf } from "../base/index.ts";
import { errdefs } from "../gen/buildkit/index.ts";
import { codeOf } from "../wire/index.ts";

type Detail = ConstructorParameters<typeof ConnectError>[3];

export function grpcErrors(log: Logger): Interceptor {
  return (next) => async (request) => {
    const isBuild = request.method.name === "Solve";
    const failed = (error: unknown): ConnectError => {
      log.debug(`${request.url} returned error: ${messageOf(error)}`);
      return connectError(error, isBuild);
    };
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: translated(response.message, failed) };
    } catch (error) {
      throw failed(error);
    }
  };
}

async function* translated<T>(
  messages: AsyncIterable<T>,
  failed: (error: unknown) => ConnectError,
): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw failed(error);
  }
}

/** Clients put every code but Unknown before the message, where a build's has none in BuildKit. */
function connectError(error: unknown, isBuild: boolean): ConnectError {
  if (error instanceof ConnectError) return error;
  const kind = kindOf(error);
  const code: Code = isBuild && kind !== "cancelled" ? Code.Unknown : codeOf(error);
  const details = error instanceof GantryError ? detailsOf(error) : [];
  const message = messageOf(error);
  return new ConnectError(
    message === "" ? "unknown error" : message,
    code,
    undefined,
    details,
    error,
  );
}

function detailsOf({ detail }: GantryError): NonNullable<Detail> {
  const { file, line, endLine, source, subrequest, remedy } = detail as Readonly<
    Record<string, unknown>
  >;
  const details: NonNullable<Detail> = [];
  // What can be done, for our own command line; others pass over a detail that they do not know.
  if (typeof remedy === "string") {
    details.push({ desc: StringValueSchema, value: { value: remedy } });
  }
  if (typeof subrequest === "string") {
    details.push({ desc: errdefs.SubrequestSchema, value: { name: subrequest } });
  }
  if (typeof line !== "number" || typeof file !== "string") return details;
  const last = typeof endLine === "number" ? endLine : line;
  const value = create(errdefs.SourceSchema, {
    info: {
      filename: file,
      data: source instanceof Uint8Array ? source : new Uint8Array(),
      language: "Dockerfile",
    },
    ranges: [{ start: { line }, end: { line: last } }],
  });
  details.push({ desc: errdefs.SourceSchema, value });
  return details;
}
