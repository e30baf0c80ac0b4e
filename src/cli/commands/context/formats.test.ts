import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { memoryIo } from "../../../../test/support/memory-io.ts";
import { main } from "../../main.ts";

async function shown(format: string): Promise<[number, string, string]> {
  const folder = mkdtempSync(join(tmpdir(), "gantry-context-"));
  try {
    const env = { HOME: folder, DOCKER_CONFIG: folder, DOCKER_HOST: "unix:///run/some.sock" };
    const io = memoryIo(["context", "inspect", "--format", format, "default"], { env });
    const code = await main(io);
    return [code, io.stdoutText(), io.stderrText()];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a context is a struct for templates, with docker's embedded one", async () => {
  const [, text] = await shown("{{.Name}} {{.Metadata.Name}} {{.Endpoints.docker.Host}}");
  assert.equal(text, "default default unix:///run/some.sock\n");
  const [, all] = await shown("{{.}}");
  const place = "map[] {<IN MEMORY> <IN MEMORY>}";
  assert.equal(all, `{{default { map[]} map[docker:{unix:///run/some.sock false}]} ${place}}\n`);
  const [, json] = await shown("{{json .}}");
  assert.deepEqual(Object.keys(JSON.parse(json)), [
    ...["Name", "Metadata", "Endpoints", "TLSMaterial", "Storage"],
  ]);
});

test("a field that a context does not have is an error", async () => {
  for (const field of [".Foo", ".Endpoints.docker.Foo", ".Metadata.Description", ".Storage.Foo"]) {
    const [code, , said] = await shown(`{{${field}}}`);
    assert.equal(code, 1, field);
    assert.match(said, /template parsing error: .*can't evaluate field \w+ in type/);
  }
});
