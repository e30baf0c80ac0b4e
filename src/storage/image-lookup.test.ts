import assert from "node:assert/strict";
import { test } from "node:test";
import { findImage } from "./image-lookup.ts";

const digest = (start: string) => `sha256:${start.padEnd(64, "0")}`;
const INDEX = "application/vnd.oci.image.index.v1+json";

function known(...list: { id: string; names?: string[]; manifest?: string; index?: string }[]) {
  const images = list.map(({ id, names = [], manifest, index }) => ({
    id,
    names: new Map(names.map((name) => [name, {}])),
    ...(manifest && { manifest: { digest: manifest, mediaType: "", size: 1 } }),
    documents: new Map(index ? [[index, { digest: index, mediaType: INDEX, size: 1 }]] : []),
  }));
  return {
    images: new Map(images.map((image) => [image.id, image])),
    names: new Map(
      images.flatMap(({ id, names }) => [...names.keys()].map((name) => [name, id] as const)),
    ),
  };
}

test("a name wins over the beginning of an id, and a whole id over everything", () => {
  const images = known(
    { id: digest("beef") },
    { id: digest("a"), names: ["docker.io/library/beef:latest"] },
  );
  assert.equal(findImage("beef", images), digest("a"));
  assert.equal(findImage("bee", images), digest("beef"));
  assert.equal(findImage(digest("beef").slice("sha256:".length), images), digest("beef"));
  assert.equal(findImage("nothing", images), undefined);
});

test("the beginning of several ids is refused, and says which", () => {
  const images = known({ id: digest("ab1") }, { id: digest("ab2") });
  assert.throws(() => findImage("ab", images), {
    message: "ambiguous image id prefix: ab",
    detail: { matches: [digest("ab1"), digest("ab2")] },
  });
  assert.equal(findImage("sha256:ab2", images), digest("ab2"));
});

test("with a digest the tag is decoration, and the name must be one of the image's", () => {
  const images = known({ id: digest("c"), names: ["docker.io/library/app:1"] });
  assert.equal(findImage(`app:other@${digest("c")}`, images), digest("c"));
  assert.equal(findImage(`strange@${digest("c")}`, images), undefined);
});

test("of images behind one index, that with a name is meant", () => {
  const images = known(
    { id: digest("1"), index: digest("f"), manifest: digest("d") },
    { id: digest("2"), index: digest("f"), names: ["docker.io/library/app:1"] },
  );
  assert.equal(findImage(digest("f"), images), digest("2"));
  assert.equal(findImage(digest("d"), images), digest("1"));
});
