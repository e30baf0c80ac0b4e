// The seccomp agent: a program outside that decides system calls for the container. It gets the
// filter's notify descriptor and the container process state (config-linux.md, "The Container
// Process State") over its socket, before the process calls anything else.

import type { Operation } from "../../native/index.ts";
import type { OciSeccomp } from "../../spec/index.ts";
import type { OciState } from "../plan-hooks.ts";
import { usesAgent } from "./rules.ts";

const PID_MARK = 4_294_967_290; // no pid is that large
const FD_NAME = "seccompFd";

export interface AgentInput {
  /** The state of the container. Without a pid, it is that of the process itself. */
  state: OciState;
  /** The process that loads the filter; absent: the one that the plan makes. */
  pid?: number;
}

/** The host's share: the connection and what is said over it; nothing where no agent is asked. */
export function planSeccompAgent(
  seccomp: OciSeccomp | undefined,
  { state, pid }: AgentInput,
): Operation[] {
  if (!seccomp?.listenerPath || !usesAgent(seccomp)) return [];
  const { listenerMetadata: metadata } = seccomp;
  const { ociVersion, id, status, bundle, annotations } = state;
  const text = JSON.stringify({
    ociVersion,
    fds: [FD_NAME],
    pid: PID_MARK,
    ...(metadata !== undefined && { metadata }),
    state: {
      ...{ ociVersion, id, status, pid: state.pid ?? PID_MARK, bundle },
      ...(annotations && { annotations }),
    },
  });
  return [
    {
      op: "seccompAgent",
      path: seccomp.listenerPath,
      parts: cut(text, state.pid === undefined ? 2 : 1),
      ...(pid !== undefined && { pid }),
    },
  ];
}

/** Cuts out the first marks: what follows them may hold the same digits in text of others. */
function cut(text: string, count: number): string[] {
  const mark = `"pid":${PID_MARK}`;
  const parts: string[] = [];
  let rest = text;
  for (let i = 0; i < count; i++) {
    const at = rest.indexOf(mark) + mark.length - String(PID_MARK).length;
    parts.push(rest.slice(0, at));
    rest = rest.slice(at + String(PID_MARK).length);
  }
  return [...parts, rest];
}
