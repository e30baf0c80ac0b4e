// `system df`: what images, containers and volumes take. Layers are counted once however many
// images share them; what an interrupted pull has left counts with them, as prune takes it.

import { renderContainer } from "../containers/render.ts";
import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { listImages } from "../images/list.ts";
import { logUsage } from "../logs/index.ts";
import { volumeSize } from "../volumes/verbs.ts";

export async function systemDf(
  engine: EngineContext,
  o: Signal & { types?: string[]; buildCache?: () => Promise<unknown[]> } = {},
): Promise<Record<string, unknown>> {
  const wants = (type: string): boolean => !o.types?.length || o.types.includes(type);
  const { layers, partials } = engine.storage;
  const layerBytes = layers.list().reduce((sum, layer) => sum + layer.size, 0);
  const answer: Record<string, unknown> = {
    LayersSize: layerBytes + (await partials.restingBytes()),
    BuilderSize: 0,
    LogUsage: await logUsage(engine),
  };
  if (wants("image")) answer["Images"] = await listImages(engine, { sharedSize: true });
  if (wants("container")) {
    answer["Containers"] = await Promise.all(
      engine.containers.all().map(async (c) => {
        const container = renderContainer(engine, c);
        const usage = await engine.storage.snapshots.usage(c.id).catch(() => ({ bytes: 0 }));
        const image = c.diffIds.reduce(
          (sum, id) => sum + (engine.storage.layers.get(id)?.size ?? 0),
          0,
        );
        container.sizes = { rw: usage.bytes, rootFs: image + usage.bytes };
        return container;
      }),
    );
  }
  if (wants("volume")) {
    answer["Volumes"] = await Promise.all(
      engine.volumes.all().map(async (volume) => ({
        ...engine.volumes.render(volume),
        UsageData: {
          Size: await volumeSize(engine, volume.name).catch(() => -1),
          RefCount: engine.volumes.users(volume.name).length,
        },
      })),
    );
  }
  if (wants("build-cache")) answer["BuildCache"] = (await o.buildCache?.()) ?? [];
  return answer;
}
