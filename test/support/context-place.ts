// What opening contexts needs, over a storage of its own and a real native program.

import type { ProxySettings } from "../../src/distribution/index.ts";
import type { ContextPlace } from "../../src/engine/build/contexts/index.ts";
import { openContextStore } from "../../src/engine/build/contexts/index.ts";
import { clearWorkspaces, Workspace } from "../../src/engine/build/workspace.ts";
import type { EngineContext } from "../../src/engine/context.ts";
import { noProxies, registriesWith } from "./registry-client.ts";
import type { StorageFixture } from "./storage-fixture.ts";

export interface ContextFixture {
  engine: EngineContext;
  /** A new build. */
  place(more?: Partial<ContextPlace>): Promise<ContextPlace>;
  /** As after a restart. */
  reopen(): Promise<void>;
  close(): Promise<void>;
}

export async function contextFixture(
  fixture: StorageFixture,
  proxies: ProxySettings = noProxies,
): Promise<ContextFixture> {
  const engine = {
    options: { dataRoot: fixture.root },
    ...{ storage: fixture.storage, native: fixture.native, files: fixture.files },
    registries: registriesWith({ proxies }),
    log: { warn: () => {}, info: () => {}, debug: () => {}, error: () => {} },
  } as unknown as EngineContext;
  await clearWorkspaces(engine);
  let store = await openContextStore(engine);
  const workspaces: Workspace[] = [];
  return {
    engine,
    place: async (more = {}) => {
      const workspace = await Workspace.make(engine);
      workspaces.push(workspace);
      return { engine, workspace, store, lease: fixture.storage.lease(), ...more };
    },
    reopen: async () => {
      await store.close();
      store = await openContextStore(engine);
    },
    close: async () => {
      for (const workspace of workspaces) await workspace.dispose();
      await store.close();
    },
  };
}
