// Byte sizes as docker's flags read them ("512m", "1.5GiB": binary for RAM, decimal for disks)
// and as its tables print them ("12.3MB").

import { GantryError } from "./errors.ts";

const LETTERS = "kmgtp";

/** Parses a size in which k, m, g … are powers of 1024; returns whole bytes. */
export function parseRamBytes(text: string): number {
  return parseSize(text, 1024);
}

/** Parses a size in which k, m, g … are powers of 1000; returns whole bytes. */
export function parseDiskBytes(text: string): number {
  return parseSize(text, 1000);
}

function parseSize(text: string, base: number): number {
  const separator = Math.max(...[..."0123456789. "].map((c) => text.lastIndexOf(c)));
  if (separator < 0) throw new GantryError("invalid", `invalid size: '${text}'`);
  const number = text[separator] === " " ? text.slice(0, separator) : text.slice(0, separator + 1);
  const suffix = text.slice(separator + 1).toLowerCase();
  if (!/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(number)) {
    throw new GantryError(
      "invalid",
      `strconv.ParseFloat: parsing ${JSON.stringify(number)}: invalid syntax`,
    );
  }
  const size = Number(number);
  if (size < 0) throw new GantryError("invalid", `invalid size: '${text}'`);
  if (suffix === "" || suffix === "b") return Math.trunc(size);
  const power = LETTERS.indexOf(suffix.charAt(0)) + 1;
  if (power === 0 || !["", "b", "ib"].includes(suffix.slice(1))) {
    throw new GantryError("invalid", `invalid suffix: '${suffix}'`);
  }
  return Math.trunc(size * base ** power);
}

const DECIMAL = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/** Bytes in powers of 1000: "12.34MB" (four digits), or with `precision` 3 as docker images. */
export function humanSize(bytes: number, precision = 4): string {
  return scaled(bytes, 1000, DECIMAL, precision);
}

/** Bytes in powers of 1024: "512MiB". */
export function humanBinarySize(bytes: number): string {
  return scaled(bytes, 1024, BINARY, 4);
}

function scaled(bytes: number, base: number, units: string[], precision: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= base && unit < units.length - 1) {
    size /= base;
    unit++;
  }
  return `${goGeneral(size, precision)}${units[unit]}`;
}

/** Go's %.Ng. */
function goGeneral(value: number, precision: number): string {
  if (value === 0) return "0";
  const [mantissa = "", exponent = "0"] = value.toExponential(precision - 1).split("e");
  const power = Number(exponent);
  if (power < -4 || power >= precision) {
    const digits = mantissa.replace(/\.?0+$/, "");
    return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  const fixed = value.toFixed(Math.max(0, precision - 1 - power));
  return fixed.includes(".") ? fixed.replace(/\.?0+$/, "") : fixed;
}
