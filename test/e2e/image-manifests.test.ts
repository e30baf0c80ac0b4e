// `manifests=true` of the image list and inspection, which `docker images --tree` asks for: every
// manifest that an image's index lists, those that are here and those that are not.

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { startDaemon, type TestDaemon, whyNoDaemon } from "./harness.ts";

interface Manifest {
  ID: string;
  Descriptor: { digest: string; size: number };
  Available: boolean;
  Size: { Content: number; Total: number };
  Kind: string;
  ImageData?: { Platform: object; Containers: string[]; Size: { Unpacked: number } };
  AttestationData?: { For: string };
}
interface Told {
  Descriptor: { digest: string; mediaType: string };
  PredicateType: string;
  Statement?: { predicateType: string };
}
interface Shown {
  Id: string;
  RepoTags: string[];
  Manifests?: Manifest[];
  message?: string;
}

describe("the manifests of an image", { skip: whyNoDaemon() }, () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon({ client: "gantry" });
    const context = join(daemon.folder, "context");
    await mkdir(context);
    await writeFile(join(context, "Dockerfile"), "FROM scratch\nCOPY a.txt /\n");
    await writeFile(join(context, "a.txt"), "five\n");
    const both = ["--platform", "linux/amd64,linux/arm64", "--provenance=true"];
    await daemon.ok("build", "-q", "-t", "both:1", ...both, context);
  });
  after(() => daemon.stop());

  async function get<T>(path: string): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      const asked = request({ socketPath: daemon.socket, path }, (answer) =>
        resolve(json(answer) as Promise<T>),
      );
      asked.once("error", reject).end();
    });
  }

  test("are those of its index, with their platforms and attestations", async () => {
    const shown = await get<Shown>("/v1.51/images/both:1/json?manifests=1");
    const all = shown.Manifests!;
    assert.deepEqual(
      all.map(({ Kind, Available }) => [Kind, Available]),
      [
        ["image", true],
        ["image", true],
        ["attestation", true],
        ["attestation", true],
      ],
    );
    const [amd64, arm64, statement] = all as [Manifest, Manifest, Manifest];
    assert.deepEqual(amd64.ImageData?.Platform, { architecture: "amd64", os: "linux" });
    assert.deepEqual(arm64.ImageData?.Platform, { architecture: "arm64", os: "linux" });
    assert.equal(amd64.ImageData?.Size.Unpacked, 5);
    assert.equal(amd64.Size.Total, amd64.Size.Content + 5);
    assert.ok(amd64.Size.Content > amd64.Descriptor.size);
    assert.equal(amd64.ID, amd64.Descriptor.digest);
    assert.equal(statement.AttestationData?.For, amd64.ID);
    assert.ok(statement.Size.Content > statement.Descriptor.size);
    const rows = await get<Shown[]>("/v1.51/images/json?manifests=1");
    const row = rows.find(({ RepoTags }) => RepoTags.includes("both:1"));
    assert.deepEqual(row?.Manifests, all);
  });

  test("have the statements about them told, of one platform and of the types asked for", async () => {
    const path = "/v1.55/images/both:1/attestations";
    const [told, ...more] = await get<Told[]>(`${path}?statement=1`);
    assert.equal(more.length, 0);
    assert.match(told!.PredicateType, /^https:\/\/slsa\.dev\/provenance\//);
    assert.equal(told!.Statement?.predicateType, told!.PredicateType);
    assert.equal(told!.Descriptor.mediaType, "application/vnd.in-toto+json");
    const [bare] = await get<Told[]>(path);
    assert.deepEqual(bare, { Descriptor: told!.Descriptor, PredicateType: told!.PredicateType });
    assert.deepEqual(await get<Told[]>(`${path}?type=other`), []);
    const arm = encodeURIComponent('{"os":"linux","architecture":"arm64"}');
    const [other] = await get<Told[]>(`${path}?platform=${arm}`);
    assert.notEqual(other!.Descriptor.digest, told!.Descriptor.digest);
    const none = encodeURIComponent('{"os":"linux","architecture":"s390x"}');
    const refused = await get<{ message: string }>(`${path}?platform=${none}`);
    assert.match(refused.message, /does not match the specified platform/);
    const two = await get<{ message: string }>(`${path}?platform=${arm}&platform=${none}`);
    assert.match(two.message, /multiple platform/);
  });

  test("name the containers that were made from them", async () => {
    const id = await daemon.ok("create", "--network", "none", "both:1", "/none");
    const { Manifests } = await get<Shown>("/v1.51/images/both:1/json?manifests=1");
    const containers = Manifests!.map(({ ImageData }) => ImageData?.Containers);
    assert.deepEqual(containers, [[id], [], undefined, undefined]);
  });

  test("are only there when they are asked for, since API 1.48, and not with a platform", async () => {
    assert.equal((await get<Shown>("/v1.51/images/both:1/json")).Manifests, undefined);
    const old = await get<Shown>("/v1.47/images/both:1/json?manifests=1");
    assert.equal(old.Manifests, undefined);
    const platform = encodeURIComponent('{"os":"linux","architecture":"arm64"}');
    const path = `/v1.51/images/both:1/json?manifests=1&platform=${platform}`;
    assert.match((await get<Shown>(path)).message ?? "", /cannot both be set/);
  });
});
