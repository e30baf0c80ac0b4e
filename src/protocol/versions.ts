// Versions of the Docker Engine API: which ones we speak, how they compare, and the sentences that
// clients show when theirs does not fit.

import { GantryError } from "../base/index.ts";

export const API_VERSION_MAX = "1.55";
export const API_VERSION_MIN = "1.24";

/** Negative, zero or positive, comparing dotted numbers. */
export function compareVersions(a: string, b: string): number {
  const left = a.split(".");
  const right = b.split(".");
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = Number(left[i] ?? 0) - Number(right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** An API version that a request asked for. */
export class ApiVersion {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  atLeast(other: string): boolean {
    return compareVersions(this.text, other) >= 0;
  }

  below(other: string): boolean {
    return compareVersions(this.text, other) < 0;
  }
}

/** Returns the version of a request, or throws invalid as dockerd does. */
export function acceptVersion(
  asked: string | undefined,
  { min = API_VERSION_MIN, max = API_VERSION_MAX }: { min?: string; max?: string } = {},
): ApiVersion {
  if (asked === undefined) return new ApiVersion(max);
  if (compareVersions(asked, min) < 0) {
    throw new GantryError(
      "invalid",
      `client version ${asked} is too old. Minimum supported API version is ${min}, ` +
        "please upgrade your client to a newer version",
    );
  }
  if (compareVersions(asked, max) > 0) {
    throw new GantryError(
      "invalid",
      `client version ${asked} is too new. Maximum supported API version is ${max}`,
    );
  }
  return new ApiVersion(asked);
}
