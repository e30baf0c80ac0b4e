// The columns of `images`: one row for each tag, digest or dangling image.

import { humanSize } from "../../base/index.ts";
import type { RowType } from "./table.ts";
import { ago, goTime, shortId } from "./text.ts";

export interface ImageSummary {
  Id: string;
  Created: number;
  RepoTags: string[] | null;
  RepoDigests: string[] | null;
  Size: number;
  SharedSize: number;
  Containers: number;
  Labels?: Record<string, string> | null;
}
export interface ImageLine {
  image: ImageSummary;
  repository: string;
  tag: string;
  digest: string;
}

const NONE = "<none>";

/** Splits images into the lines that the table shows. */
export function imageLines(images: readonly ImageSummary[], digests: boolean): ImageLine[] {
  return images.flatMap((image) => linesOf(image, digests));
}

function splitTag(reference: string): [string, string] {
  const colon = reference.lastIndexOf(":");
  return [reference.slice(0, colon), reference.slice(colon + 1)];
}

function linesOf(image: ImageSummary, digests: boolean): ImageLine[] {
  const tags = (image.RepoTags ?? []).filter((tag) => tag !== "<none>:<none>").map(splitTag);
  const digestOf = new Map<string, string>();
  for (const one of image.RepoDigests ?? []) {
    const [name = "", digest = ""] = one.split("@");
    if (name !== NONE) digestOf.set(name, digest);
  }
  if (tags.length === 0) {
    const all = [...digestOf];
    if (all.length === 0) return [{ image, repository: NONE, tag: NONE, digest: NONE }];
    return all.map(([repository, digest]) => ({ image, repository, tag: NONE, digest }));
  }
  return tags.map(([repository, tag]) => ({
    image,
    repository,
    tag,
    digest: digests ? (digestOf.get(repository) ?? NONE) : NONE,
  }));
}

/** The default table, with a column for digests when asked for. */
export function imageTable(digests: boolean): string {
  const digest = digests ? "\\t{{.Digest}}" : "";
  return `table {{.Repository}}\\t{{.Tag}}${digest}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}`;
}

export function imageRow(truncate: boolean): RowType<ImageLine> {
  const column = (header: string, value: (row: ImageLine) => unknown) => ({ header, value });
  const known = (bytes: number) => (bytes < 0 ? "N/A" : humanSize(bytes));
  return {
    goType: "*formatter.imageContext",
    whole: !truncate,
    columns: {
      ID: column("IMAGE ID", ({ image }) => (truncate ? shortId(image.Id) : image.Id)),
      Repository: { ...column("REPOSITORY", ({ repository }) => repository), cut: true },
      Tag: { ...column("TAG", ({ tag }) => tag), cut: true },
      Digest: { ...column("DIGEST", ({ digest }) => digest), cut: true },
      CreatedSince: column("CREATED", ({ image }) =>
        image.Created === 0 ? "N/A" : ago(image.Created),
      ),
      CreatedAt: column("CREATED AT", ({ image }) => goTime(image.Created)),
      Size: column("SIZE", ({ image }) => humanSize(image.Size, 3)),
      Containers: column("CONTAINERS", ({ image }) =>
        image.Containers < 0 ? "N/A" : String(image.Containers),
      ),
      VirtualSize: column("SIZE", ({ image }) => humanSize(image.Size)),
      SharedSize: column("SHARED SIZE", ({ image }) => known(image.SharedSize)),
      UniqueSize: column("UNIQUE SIZE", ({ image }) =>
        image.SharedSize < 0 ? "N/A" : humanSize(image.Size - image.SharedSize),
      ),
    },
  };
}
