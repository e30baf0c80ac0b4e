// The payload as an archive of `docker save`, which every other engine imports without a registry:
// dockerd, containerd's ctr, podman.

import { createHash } from "node:crypto";
import { pack, payloadRootfs } from "../payload/payload.ts";

/** The name under which engines know the image; with the host that all of them agree on. */
export const ARCHIVED_IMAGE = "docker.io/library/payload:latest";

export async function payloadArchive(): Promise<Buffer> {
  // Podman's health checks are a shell's: what is called so records what it gets, and succeeds.
  const shell = { type: "link", name: "bin/sh", linkname: "bin/payload" } as const;
  const layer = await payloadRootfs([shell]);
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      config: { Cmd: ["/bin/true"], Env: ["PATH=/bin"], WorkingDir: "/" },
      rootfs: { type: "layers", diff_ids: [`sha256:${digest(layer)}`] },
      history: [{ created_by: "payload" }],
    }),
  );
  const name = `${digest(config)}.json`;
  const manifest = [{ Config: name, RepoTags: ["payload:latest"], Layers: ["layer.tar"] }];
  return await pack([
    { type: "file", name: "manifest.json", content: JSON.stringify(manifest) },
    { type: "file", name, content: config },
    { type: "file", name: "layer.tar", content: layer },
  ]);
}

const digest = (data: Buffer): string => createHash("sha256").update(data).digest("hex");
