// A plan as text, one operation a line, for golden tests and `gantry explain`. Optional fields that
// are absent are not shown; binary fields are shown in hexadecimal, cut after a few bytes.

import { type Operation, operations, type Patch, type Plan, type PlanHalf } from "./operations.ts";

const BYTES_SHOWN_MAX = 48;

/** `mkdir path=/x mode=0o755` */
export function formatOperation(operation: Operation): string {
  const fields = operations[operation.op].fields as Record<string, string>;
  const values = operation as unknown as Record<string, unknown>;
  const parts = Object.keys(fields)
    .filter((name) => values[name] !== undefined)
    .map((name) => `${name}=${formatValue(name, values[name])}`);
  return [operation.op, ...parts].join(" ");
}

/** Every half of a plan under its name; an empty half is left out. */
export function formatPlan(plan: Pick<Plan, "host"> & Partial<Plan>): string {
  const halves: PlanHalf[] = ["host", "container", "teardown"];
  return halves
    .filter((half) => (plan[half]?.length ?? 0) > 0)
    .map((half) => [`${half}:`, ...plan[half]!.map((o) => `  ${formatOperation(o)}`), ""])
    .map((lines) => lines.join("\n"))
    .join("");
}

function formatValue(name: string, value: unknown): string {
  if (typeof value === "string") return formatText(value);
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number" || typeof value === "bigint") return formatNumber(name, value);
  if (value instanceof Uint8Array) return formatBytes(value);
  if (!Array.isArray(value)) return JSON.stringify(value);
  return `[${value.map((item) => formatItem(item)).join(" ")}]`;
}

function formatItem(item: unknown): string {
  if (typeof item === "string") return formatText(item);
  if (typeof item === "number" || typeof item === "bigint") return String(item);
  const { offset, slot, width } = item as Patch;
  return `@${offset}:${width}=slot${slot}`;
}

function formatText(text: string): string {
  return /^[\w./:@%+,=-]+$/.test(text) ? text : JSON.stringify(text);
}

function formatNumber(name: string, value: number | bigint): string {
  if (name === "mode") return `0o${value.toString(8)}`;
  const hexadecimal = ["flags", "attr", "set", "clear", "magic", "keep", "effective", "permitted"];
  const inHex = [...hexadecimal, "inheritable", "raise"].includes(name);
  return inHex && value >= 0 ? `0x${value.toString(16)}` : String(value);
}

function formatBytes(data: Uint8Array): string {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const text = buffer.toString("utf8");
  if (data.length > 0 && /^[\x20-\x7e\n]*$/.test(text)) return JSON.stringify(text);
  const shown = buffer.toString("hex", 0, BYTES_SHOWN_MAX);
  return `<${shown}${data.length > BYTES_SHOWN_MAX ? "…" : ""} ${data.length} bytes>`;
}
