// The values of RUN --network, --security and --device.

import { TextFault } from "./dockerfile-error.ts";
import { hasVariables } from "./run-mount.ts";
import { didYouMean } from "./suggest.ts";

export type RunNetwork = "default" | "none" | "host";
export type RunSecurity = "sandbox" | "insecure";
export interface RunDevice {
  /** A CDI device (vendor.example/class=name) or a class. */
  name: string;
  required: boolean;
}

const NETWORKS: readonly RunNetwork[] = ["default", "none", "host"];
const SECURITIES: readonly RunSecurity[] = ["sandbox", "insecure"];

export function checkNetwork(text: string): void {
  if (!hasVariables(text)) parseNetwork(text);
}

export function checkSecurity(text: string): void {
  if (!hasVariables(text)) parseSecurity(text);
}

export function parseNetwork(text: string): RunNetwork {
  const found = NETWORKS.find((mode) => mode === text);
  if (found !== undefined) return found;
  const hint = didYouMean(text, NETWORKS);
  const remedy = `use one of ${NETWORKS.join(", ")}`;
  throw new TextFault(`invalid network mode ${JSON.stringify(text)}${hint}`, 0, 0, remedy);
}

export function parseSecurity(text: string): RunSecurity {
  const found = SECURITIES.find((mode) => mode === text);
  if (found !== undefined) return found;
  const remedy = `use one of ${SECURITIES.join(", ")}`;
  throw new TextFault(`security ${JSON.stringify(text)} is not valid`, 0, 0, remedy);
}

/** `[name=]KIND[=DEVICE][,required[=bool]]`. */
export function parseDevice(text: string): RunDevice {
  const device: RunDevice = { name: "", required: false };
  for (const field of text.split(",")) {
    if (field === "required" || field === "required=true") device.required = true;
    else if (field === "required=false") device.required = false;
    else if (device.name === "" && field !== "") device.name = field.replace(/^name=/, "");
    else throw new TextFault(`unexpected field ${JSON.stringify(field)} in device`);
  }
  if (device.name === "") throw new TextFault("device name is required");
  return device;
}
