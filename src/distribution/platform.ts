// Which manifest of an index fits a machine: exact matches first, then what the machine also runs
// (arm64 runs 32-bit arm, amd64 runs 386), as containerd orders them.

import { normalizePlatform, type Platform } from "../spec/index.ts";

const ARM_VARIANTS = ["v8", "v7", "v6", "v5"];

/** How well `offered` runs on `wanted`: 0 is exact, larger is worse, undefined does not run. */
export function platformRank(offered: Platform, wanted: Platform): number | undefined {
  if (offered.os !== wanted.os) return undefined;
  const there = normalizePlatform(offered);
  const same = there.architecture === wanted.architecture;
  const asked = wanted.variant ?? defaultVariant(wanted.architecture);
  const given = there.variant ?? defaultVariant(there.architecture);
  switch (wanted.architecture) {
    case "arm64":
      if (same) return asked === given ? 0 : undefined;
      return there.architecture === "arm" ? armRank("v8", given, 1) : undefined;
    case "arm":
      return same ? armRank(asked, given, 0) : undefined;
    case "amd64": {
      if (!same) return there.architecture === "386" ? 10 : undefined;
      const distance = Number(asked.slice(1)) - Number(given.slice(1));
      return distance >= 0 ? distance : undefined;
    }
    default:
      return same && asked === given ? 0 : undefined;
  }
}

function armRank(asked: string, given: string, penalty: number): number | undefined {
  const distance = ARM_VARIANTS.indexOf(given) - ARM_VARIANTS.indexOf(asked);
  return ARM_VARIANTS.includes(given) && distance >= 0 ? distance + penalty : undefined;
}

function defaultVariant(architecture: string): string {
  return { arm: "v7", arm64: "v8", amd64: "v1" }[architecture] ?? "";
}
