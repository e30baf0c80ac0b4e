// `images --tree`: each image with the platforms that it is there for, in the columns of docker's.
// Pure: the daemon's list with its manifests in, lines out.

import { humanSize } from "../../base/index.ts";
import type { ImageSummary } from "./image.ts";
import { type Paint, printable } from "./style.ts";
import { columnsOf, shortId } from "./text.ts";

interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}
export interface TreeImage extends ImageSummary {
  Manifests?: {
    ID: string;
    Available: boolean;
    Kind: string;
    Size: { Content: number; Total: number };
    ImageData?: { Platform: Platform; Containers: string[] | null };
  }[];
}

interface Line {
  text: string;
  id: string;
  disk: string;
  content: string;
  extra: string;
  kind: "image" | "platform" | "absent";
}

const UNTAGGED = "<untagged>";
const GAP = "   ";
const TITLES = { id: "ID", disk: "DISK USAGE", content: "CONTENT SIZE", extra: "EXTRA" };
const ID_COLUMNS = 12;

/** The lines; a blank one after an image that stands for several platforms. */
export function imageTree(images: readonly TreeImage[], paint: Paint): string[] {
  const blocks = images.map(blockOf);
  const shown = blocks.flat();
  const width = Math.max("IMAGE".length, ...shown.map(({ text }) => columnsOf(text)));
  const head = ["IMAGE".padEnd(width), TITLES.id.padEnd(ID_COLUMNS), TITLES.disk, TITLES.content];
  const lines = [[...head, TITLES.extra].map((title) => paint("bold", title)).join(GAP)];
  let wasOpen = false;
  for (const block of blocks) {
    const isOpen = block.some(({ kind }) => kind !== "image");
    if (lines.length > 1 && (isOpen || wasOpen)) lines.push("");
    lines.push(...block.map((line) => drawn(line, width, paint)));
    wasOpen = isOpen;
  }
  return lines;
}

function drawn({ text, id, disk, content, extra, kind }: Line, width: number, paint: Paint) {
  const style = kind === "image" ? "bold" : kind === "absent" ? "dim" : undefined;
  const name = paint(style, text);
  if (id === "") return name;
  const cells = [
    name + " ".repeat(width - columnsOf(text)),
    id.padEnd(ID_COLUMNS),
    disk.padStart(TITLES.disk.length),
    content.padStart(TITLES.content.length),
    extra.padStart(TITLES.extra.length),
  ];
  return cells.join(GAP).trimEnd();
}

/** One image: its names, the last of which has the numbers, then its platforms. */
function blockOf(image: TreeImage): Line[] {
  const manifests = image.Manifests ?? [];
  const platforms = manifests.filter(({ Kind }) => Kind === "image");
  const isUsed = platforms.some(({ ImageData }) => (ImageData?.Containers?.length ?? 0) > 0);
  const size = (bytes: number) => humanSize(bytes, 3);
  const tags = (image.RepoTags ?? []).filter((tag) => tag !== "<none>:<none>").map(printable);
  const names = tags.length > 0 ? tags.sort() : [UNTAGGED];
  const above = names
    .slice(0, -1)
    .map((text): Line => ({ text, id: "", disk: "", content: "", extra: "", kind: "image" }));
  const own: Line = {
    text: names.at(-1)!,
    id: shortId(image.Id),
    disk: size(image.Size),
    content: size(manifests.reduce((sum, { Size }) => sum + Size.Content, 0)),
    extra: isUsed || image.Containers > 0 ? "U" : "",
    kind: "image",
  };
  const beneath = platforms.map(({ ID, Size, Available, ImageData }, at): Line => {
    const branch = at === platforms.length - 1 ? "└─" : "├─";
    return {
      text: `${branch} ${platformText(ImageData?.Platform)}`,
      id: shortId(ID),
      disk: size(Size.Total),
      content: size(Size.Content),
      extra: (ImageData?.Containers?.length ?? 0) > 0 ? "U" : "",
      kind: Available ? "platform" : "absent",
    };
  });
  return [...above, own, ...beneath];
}

function platformText(platform: Platform | undefined): string {
  if (!platform) return "unknown";
  const { os, architecture, variant } = platform;
  return printable([os, architecture, ...(variant ? [variant] : [])].join("/"));
}
