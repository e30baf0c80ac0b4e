import assert from "node:assert/strict";
import { test } from "node:test";
import { verboseText, verboseValue } from "../../format/disk-usage-verbose.ts";
import { objectFormat } from "../../format/object.ts";

const usage = {
  LayersSize: 3,
  Images: [
    {
      ...{ Id: `sha256:${"a".repeat(64)}`, Created: 1, RepoTags: ["app:1", "app:2"] },
      ...{ RepoDigests: null, Size: 3, SharedSize: 0, Containers: 1 },
    },
  ],
  Containers: null,
  Volumes: [{ Name: "v", Driver: "local", UsageData: { Size: 7, RefCount: 2 } }],
  BuildCache: [],
};

test("df -v is one value: an object of lists, an image by its first name, nothing cut", async () => {
  const shown = (await objectFormat("json"))(verboseValue(usage));
  const { Images, Containers, Volumes, BuildCache } = JSON.parse(shown);
  assert.deepEqual([Images.length, Containers, BuildCache], [1, [], []]);
  assert.equal(Images[0].ID, usage.Images[0]!.Id);
  assert.equal(Images[0].Tag, "1");
  assert.deepEqual([Volumes[0].Links, Volumes[0].Size], ["2", "7B"]);
});

test("a template walks through df -v, and a field that is not there is an error", async () => {
  const rows = await objectFormat("{{range .Volumes}}{{.Name}} {{.Links}}{{end}}");
  assert.equal(rows(verboseValue(usage)), "v 2");
  const none = await objectFormat("{{.Foo}}", { prefix: "" });
  assert.throws(() => none(verboseValue(usage)), /can't evaluate field Foo in type \*formatter/);
});

test("df -v is four tables for people", () => {
  const text = verboseText(usage);
  for (const title of ["Images space", "Containers space", "Local Volumes space", "Build cache"]) {
    assert.ok(text.includes(`${title} usage:`));
  }
  assert.match(text, /^v +2 +7B$/m);
});
