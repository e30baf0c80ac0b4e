import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Database } from "./database.ts";

function withDatabase(work: (database: Database, path: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "database-"));
  const path = join(folder, "test.db");
  const database = new Database(path);
  try {
    work(database, path);
  } finally {
    database.close();
    rmSync(folder, { recursive: true });
  }
}

test("records come back as they went in, collection by collection", () => {
  withDatabase((database, path) => {
    const one = database.collection<{ a: number }>("one");
    database.collection("other").put("k", "other");
    one.put("k", { a: 1 });
    one.put("k", { a: 2 });
    one.put("a", { a: 3 });
    assert.deepEqual(one.get("k"), { a: 2 });
    assert.equal(one.get("none"), undefined);
    assert.deepEqual(one.all(), [
      ["a", { a: 3 }],
      ["k", { a: 2 }],
    ]);
    one.delete("k");
    const again = new Database(path); // as after a restart
    assert.deepEqual(again.collection("one").all(), [["a", { a: 3 }]]);
    again.close();
  });
});

test("a transaction is all or nothing, nested ones included", () => {
  withDatabase((database) => {
    const records = database.collection<number>("n");
    assert.throws(() =>
      database.transaction(() => {
        records.put("a", 1);
        database.transaction(() => records.put("b", 2));
        throw new Error("no");
      }),
    );
    assert.deepEqual(records.all(), []);
    const result = database.transaction(() => database.transaction(() => records.put("c", 3)));
    assert.equal(result, undefined);
    assert.deepEqual(records.all(), [["c", 3]]);
  });
});

test("short ids are never given twice", () => {
  withDatabase((database, path) => {
    const ids = Array.from({ length: 40 }, () => database.nextShortId());
    const again = new Database(path);
    ids.push(again.nextShortId());
    again.close();
    assert.equal(new Set(ids).size, 41);
    assert(ids.every((id) => id.length <= 2));
  });
});

test("on a full disk rows can be removed, and what cannot be written says why", () => {
  withDatabase((database, path) => {
    const records = database.collection<string>("c");
    const text = "x".repeat(3000);
    for (let i = 0; i < 20; i++) records.put(`k${i}`, text);
    const { page_count: pages } = database.sql.prepare("PRAGMA page_count").get() as {
      page_count: number;
    };
    database.sql.exec(`PRAGMA max_page_count = ${pages}`);
    const fill = () => {
      for (let i = 0; i < 20; i++) records.put(`more${i}`, text);
    };
    assert.throws(fill, { kind: "exhausted", message: /No space left on device/ });
    const ballast = () => statSync(`${path}-ballast`).size;
    const whole = ballast();
    let tries = 0;
    database.free(() => {
      // As a disk that has room only once a part of the ballast is gone.
      tries++;
      if (ballast() === whole) fill();
    });
    assert.equal(tries, 3, "the log is emptied first, then a part of the ballast is let go");
    assert.equal(ballast(), whole, "the ballast was not laid down again");
    assert.throws(() => database.free(fill), { kind: "exhausted", message: /on the data root \// });
    assert.equal(ballast(), 0, "all of it was tried");
    database.free(() => {});
    assert.equal(ballast(), whole);
    const inTransaction = () => database.transaction(fill);
    assert.throws(inTransaction, { kind: "exhausted" });
    assert.equal(database.sql.isTransaction, false);
  });
});

test("a damaged database is named", () => {
  withDatabase((_, path) => {
    writeFileSync(`${path}-2`, Buffer.alloc(8192, 0xee));
    assert.throws(() => new Database(`${path}-2`), { kind: "corrupt", message: /-2 is damaged/ });
  });
});

test("a data root of a newer version is refused", () => {
  withDatabase((database, path) => {
    database.sql.exec("PRAGMA user_version = 1000");
    assert.throws(() => new Database(path), { kind: "invalid", message: /newer version/ });
  });
});
