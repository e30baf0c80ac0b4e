// Parts of an output's vertex with a beginning and an end.

import type { VertexReport } from "../job.ts";

/** Tells that `work` is under way, and that it has ended. */
export async function part<T>(
  vertex: VertexReport,
  id: string,
  work: () => Promise<T>,
): Promise<T> {
  vertex.status(id, { current: 0, total: 0 });
  const result = await work();
  vertex.status(id, { current: 0, total: 0, done: true });
  return result;
}

/** Counts bytes of a part. */
export function meter(vertex: VertexReport, id: string, total = 0) {
  let current = 0;
  return {
    add(bytes: number): void {
      current += bytes;
      vertex.status(id, { current, total });
    },
    end(): void {
      vertex.status(id, { current, total: Math.max(current, total), done: true });
    },
  };
}
