// Samples in milliseconds, and how a table shows them.

export class Samples {
  readonly values: number[] = [];

  add(ms: number): void {
    this.values.push(ms);
  }

  /** The value that `fraction` of the samples do not exceed; NaN without samples. */
  quantile(fraction: number): number {
    const sorted = this.values.toSorted((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
  }

  get p50(): number {
    return this.quantile(0.5);
  }
  get p99(): number {
    return this.quantile(0.99);
  }
}

/** Runs `work` and adds the milliseconds that it took. */
export async function timed(samples: Samples, work: () => Promise<unknown>): Promise<void> {
  const started = process.hrtime.bigint();
  await work();
  samples.add(Number(process.hrtime.bigint() - started) / 1e6);
}

export function milliseconds(value: number): string {
  return Number.isNaN(value) ? "–" : value.toFixed(value < 10 ? 2 : 1);
}

/** A table whose columns are as wide as their widest cell; the first is aligned left. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, [...cell].length);
    });
  }
  const line = (row: readonly string[]) =>
    row
      .map((cell, n) => (n === 0 ? cell.padEnd(widths[n]!) : cell.padStart(widths[n]!)))
      .join("  ");
  return rows.map(line).join("\n");
}
