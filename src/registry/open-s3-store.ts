// The S3 store, whose client is large, is loaded only where it is asked for.

import type { ObjectStore } from "./contract.ts";
import { parseS3Options, type S3StoreOptions } from "./s3-options.ts";

/** Opens a bucket. Throws invalid for bad options, unavailable when it cannot be used. */
export async function openS3Store(options: S3StoreOptions): Promise<ObjectStore> {
  parseS3Options(options);
  const { S3Store } = await import("./s3-store.ts");
  const store = new S3Store(options);
  try {
    await store.check();
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}
