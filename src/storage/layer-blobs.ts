// The forms in which layers came and went (compressed, plain), where each of them can be had again,
// and which of them keep their own bytes in the content store. A layer's unpacked files are the one
// copy; the compressed bytes stay only while nobody else is known to hold them.

import type { BlobStore } from "./content-store.ts";
import type { Descriptor } from "./contract.ts";
import type { Database } from "./database.ts";
import { rowsOf } from "./rows.ts";

/** Enough to mount from and to fetch again; the oldest are forgotten first. */
const sourcesMax = 16;

export class LayerBlobs {
  #database: Database;
  #content: BlobStore;

  constructor(database: Database, content: BlobStore) {
    this.#database = database;
    this.#content = content;
  }

  note(diffId: string, { digest, mediaType, size }: Descriptor): void {
    this.#database.sql
      .prepare(
        `INSERT INTO layer_blobs (digest, diff_id, media_type, size) VALUES (?, ?, ?, ?)
         ON CONFLICT (digest) DO UPDATE SET diff_id = excluded.diff_id,
           media_type = excluded.media_type, size = excluded.size`,
      )
      .run(digest, diffId, mediaType, size);
  }

  of(diffId: string): Descriptor[] {
    return this.#select("diff_id = ?", diffId);
  }

  kept(diffId: string): Descriptor[] {
    return this.#select("diff_id = ? AND kept = 1", diffId);
  }

  #select(where: string, value: string): Descriptor[] {
    const query = `SELECT digest, media_type AS mediaType, size FROM layer_blobs WHERE ${where}`;
    return rowsOf<Descriptor>(this.#database.sql, query, value);
  }

  diffIdOf(digest: string): string | undefined {
    const row = this.#database.sql
      .prepare("SELECT diff_id FROM layer_blobs WHERE digest = ?")
      .get(digest) as { diff_id: string } | undefined;
    return row?.diff_id;
  }

  keep(digest: string): void {
    this.#database.sql.prepare("UPDATE layer_blobs SET kept = 1 WHERE digest = ?").run(digest);
  }

  keeps(digest: string): boolean {
    const kept = this.#database.sql
      .prepare("SELECT 1 FROM layer_blobs WHERE digest = ? AND kept = 1")
      .get(digest);
    return kept !== undefined;
  }

  async drop(digest: string): Promise<void> {
    const row = this.#database.sql.prepare("UPDATE layer_blobs SET kept = 0 WHERE digest = ?");
    this.#database.free(() => row.run(digest));
    await this.dropBytes(digest);
  }

  async dropBytes(digest: string): Promise<void> {
    await this.#content.remove(digest, { unless: () => this.keeps(digest) });
  }

  noteSource(digest: string, repository: string): void {
    const { sql } = this.#database;
    this.#database.transaction(() => {
      sql
        .prepare("INSERT OR REPLACE INTO blob_sources VALUES (?, ?, ?)")
        .run(digest, repository, Date.now());
      sql
        .prepare(
          `DELETE FROM blob_sources WHERE digest = ?1 AND repository NOT IN (SELECT repository
             FROM blob_sources WHERE digest = ?1 ORDER BY noted_at DESC, repository LIMIT ?2)`,
        )
        .run(digest, sourcesMax);
    });
  }

  sources(digest: string): string[] {
    const rows = this.#database.sql
      .prepare("SELECT repository FROM blob_sources WHERE digest = ? ORDER BY noted_at DESC")
      .all(digest) as { repository: string }[];
    return rows.map(({ repository }) => repository);
  }

  forgetSource(digest: string, repository: string): void {
    this.#database.sql
      .prepare("DELETE FROM blob_sources WHERE digest = ? AND repository = ?")
      .run(digest, repository);
  }

  hold(diffId: string, until: number): void {
    this.#database.sql
      .prepare("INSERT OR REPLACE INTO layer_holds VALUES (?, ?)")
      .run(diffId, until);
  }

  unhold(diffIds: Iterable<string>): void {
    const row = this.#database.sql.prepare("DELETE FROM layer_holds WHERE diff_id = ?");
    const forget = () => {
      for (const diffId of diffIds) row.run(diffId);
    };
    this.#database.free(() => this.#database.transaction(forget));
  }

  held(now: number): string[] {
    const rows = this.#database.sql
      .prepare("SELECT diff_id FROM layer_holds WHERE until > ?")
      .all(now) as { diff_id: string }[];
    return rows.map((row) => row.diff_id);
  }

  /** Part of the transaction that forgets the layer. */
  forgetLayer(diffId: string): void {
    const { sql } = this.#database;
    sql
      .prepare(
        `DELETE FROM blob_sources WHERE digest = ?1
           OR digest IN (SELECT digest FROM layer_blobs WHERE diff_id = ?1)`,
      )
      .run(diffId);
    sql.prepare("DELETE FROM layer_blobs WHERE diff_id = ?").run(diffId);
    sql.prepare("DELETE FROM layer_holds WHERE diff_id = ?").run(diffId);
  }

  /** Forgets sources of blobs whose layer never came. */
  reconcile(): void {
    const orphans = this.#database.sql.prepare(
      "DELETE FROM blob_sources WHERE digest NOT IN (SELECT digest FROM layer_blobs)",
    );
    this.#database.free(() => orphans.run());
  }
}
