// Docker's messages of a pull as parts of a vertex: one a layer, with how much of it is here.

import type { Progress } from "../contract.ts";
import type { VertexReport } from "./job.ts";

const DONE = /^(Pull complete|Already exists|Download complete)$/;

/** Tells `vertex` what a pull's messages say. */
export function pullReport(vertex: VertexReport): (message: Progress) => void {
  const totals = new Map<string, number>();
  return (message) => {
    const { id, status, progressDetail } = message as {
      id?: string;
      status?: string;
      progressDetail?: { current?: number; total?: number };
    };
    if (!id || !status || /^Pulling from/.test(status)) return;
    const { current, total } = progressDetail ?? {};
    if (status === "Downloading" && current !== undefined) {
      totals.set(id, total ?? 0);
      vertex.status(id, { current, total: total ?? 0 });
    } else if (DONE.test(status)) {
      const whole = totals.get(id) ?? 0;
      vertex.status(id, { current: whole, total: whole, done: true });
    }
  };
}
