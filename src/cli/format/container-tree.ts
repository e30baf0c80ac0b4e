// `ps --tree`: containers beneath their compose project, their network, or the container whose
// network they share. Pure: the daemon's list in, a forest out.

import { type ContainerSummary, displayPorts, stateStyle } from "./container.ts";
import { type Paint, printable } from "./style.ts";
import { columnsOf, shortId } from "./text.ts";
import type { TreeNode } from "./tree.ts";

export const GROUPINGS = ["project", "network", "parent"] as const;
export type Grouping = (typeof GROUPINGS)[number];

export function isGrouping(text: string): text is Grouping {
  return GROUPINGS.some((one) => one === text);
}

const PROJECT = "com.docker.compose.project";
const SHARED = "container:";

interface View {
  paint: Paint;
  whole: boolean;
}

/** The forest; containers that fit no group of the kind stand at its end. */
export function containerTree(
  containers: readonly ContainerSummary[],
  grouping: Grouping,
  view: View,
): TreeNode[] {
  const children = new Map<string, ContainerSummary[]>();
  const roots: ContainerSummary[] = [];
  for (const one of containers) {
    const above = ownerOf(one, containers);
    if (above && !isOwnedBy(above, one, containers)) add(children, above.Id, one);
    else roots.push(one);
  }
  const forest = (of: readonly ContainerSummary[]) => branches(of, children, view);
  if (grouping === "parent") return forest(roots);
  const groups = new Map<string, ContainerSummary[]>();
  const others: ContainerSummary[] = [];
  for (const one of roots) {
    const names = grouping === "project" ? projectsOf(one) : networksOf(one);
    for (const name of names) add(groups, name, one);
    if (names.length === 0) others.push(one);
  }
  const titled = [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    ...titled.map(([name, members]) => ({
      text: `${grouping} ${view.paint("bold", printable(name))}`,
      children: forest(members),
    })),
    ...forest(others),
  ];
}

function add(map: Map<string, ContainerSummary[]>, key: string, one: ContainerSummary): void {
  map.set(key, [...(map.get(key) ?? []), one]);
}

function projectsOf({ Labels }: ContainerSummary): string[] {
  const project = Labels?.[PROJECT];
  return project ? [project] : [];
}

function networksOf({ NetworkSettings }: ContainerSummary): string[] {
  return Object.keys(NetworkSettings?.Networks ?? {});
}

/** The container whose network this one shares, if it is among those that are shown. */
function ownerOf(
  { Id, HostConfig }: ContainerSummary,
  all: readonly ContainerSummary[],
): ContainerSummary | undefined {
  const mode = HostConfig?.NetworkMode ?? "";
  if (!mode.startsWith(SHARED)) return undefined;
  const wanted = mode.slice(SHARED.length);
  return all.find((one) => one.Id !== Id && (one.Id === wanted || nameOf(one) === wanted));
}

/** Whether `above` hangs below `one` itself: such a circle stays side by side. */
function isOwnedBy(
  above: ContainerSummary,
  one: ContainerSummary,
  all: readonly ContainerSummary[],
): boolean {
  const seen = new Set<ContainerSummary>();
  let at: ContainerSummary | undefined = above;
  while (at !== undefined && at !== one && !seen.has(at)) {
    seen.add(at);
    at = ownerOf(at, all);
  }
  return at === one;
}

function branches(
  of: readonly ContainerSummary[],
  children: ReadonlyMap<string, ContainerSummary[]>,
  view: View,
): TreeNode[] {
  const rows = of.map((one) => cells(one, view));
  const widths = [0, 1, 2].map((at) => Math.max(0, ...rows.map((row) => columnsOf(row[at]!))));
  return of.map((one, index) => {
    const [name = "", id = "", image = "", ...rest] = rows[index]!;
    const [status = "", ports = ""] = rest;
    const pad = (text: string, at: number) => " ".repeat(widths[at]! - columnsOf(text));
    const style = stateStyle(one);
    const line =
      `${view.paint("bold", name)}${pad(name, 0)}  ${id}${pad(id, 1)}  ${image}${pad(image, 2)}  ` +
      `${view.paint(style, status)}${ports === "" ? "" : `  ${ports}`}`;
    return { text: line, children: branches(children.get(one.Id) ?? [], children, view) };
  });
}

function cells(one: ContainerSummary, { whole }: View): string[] {
  const id = whole ? one.Id : shortId(one.Id);
  const image = /^sha256:/.test(one.Image) && !whole ? shortId(one.Image) : one.Image;
  return [nameOf(one), id, image, one.Status, displayPorts(one.Ports ?? [])].map(printable);
}

function nameOf({ Names, Id }: ContainerSummary): string {
  const names = (Names ?? []).map((name) => name.replace(/^\//, ""));
  return names.find((name) => !name.includes("/")) ?? names[0] ?? shortId(Id);
}
