// What the doors of the engine share.

import type { HostConfig } from "../../spec/index.ts";

/** Container port ("80/tcp") → host addresses and ports. */
export type PortMap = NonNullable<HostConfig["PortBindings"]>;
export type Signal = { signal?: AbortSignal };
export type Filters = ReadonlyMap<string, readonly string[]>;
