// Which host ports to try for a published port. Pure.

import type { PublishRequest } from "./contract.ts";

/** Host ports in the order in which to try them. A port of the kernel's own choice comes from
 * `next`, which goes round its range, so that one that was just released rests for a while. */
export function* candidates(
  request: PublishRequest,
  range: { first: number; last: number },
  next: () => number,
): Generator<number> {
  if (request.hostPort !== 0) {
    const last = Math.max(request.hostPort, request.hostPortEnd);
    for (let port = request.hostPort; port <= last; port++) yield port;
    return;
  }
  const size = range.last - range.first + 1;
  for (let tried = 0; tried < size; tried++) yield next();
}
