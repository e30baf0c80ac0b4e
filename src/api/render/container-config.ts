// ContainerConfig as dockerd shows it in inspect (Go's zero values, Go's order, "omitempty").

import type { ApiVersion } from "../../protocol/index.ts";
import type { ContainerConfig } from "../../spec/index.ts";

const ZERO: ContainerConfig = {
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: null,
  Cmd: null,
  Image: "",
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  Labels: {},
};

export function renderContainerConfig(
  config: ContainerConfig,
  version: ApiVersion,
): ContainerConfig {
  const shown: Record<string, unknown> = { ...ZERO };
  if (version.below("1.52")) shown["OnBuild"] = null;
  for (const [field, value] of Object.entries(config)) {
    if (field in ZERO) {
      if (
        value !== undefined &&
        (value !== null || ZERO[field as keyof ContainerConfig] === null)
      ) {
        shown[field] = value;
      }
    } else if (!isEmpty(value)) {
      shown[field] = value;
    }
  }
  return shown;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}
