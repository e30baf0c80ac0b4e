// features: what may stand in a config.json for this runtime on this kernel (features.md).

import { type KernelFeatures, runtimeFeatures } from "../runtime/index.ts";
import { SPEC_VERSION, VERSION } from "./version.ts";

export function featuresText(kernel: KernelFeatures): string {
  const { hooks, mountOptions, linux } = runtimeFeatures(kernel);
  const features = {
    ociVersionMin: "1.0.0",
    ociVersionMax: SPEC_VERSION,
    ...{ hooks, mountOptions, linux },
    annotations: {
      "com.gantry.runtime.version": VERSION,
      // Clients look for runc's name of it.
      "org.opencontainers.runc.checkpoint.enabled": "true",
    },
    potentiallyUnsafeConfigAnnotations: [],
  };
  return `${JSON.stringify(features, undefined, 4)}\n`;
}
