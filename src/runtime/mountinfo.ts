// /proc/<pid>/mountinfo, parsed once. Source: proc(5).

export interface MountInfo {
  id: number;
  parent: number;
  root: string;
  path: string;
  options: readonly string[];
  /** "shared:1", "master:2" … */
  tags: readonly string[];
  fstype: string;
  source: string;
  superOptions: readonly string[];
}

/** Later lines hide earlier ones at the same path; all are returned, in order. */
export function parseMountinfo(text: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const separator = fields.indexOf("-", 6);
    if (separator < 0) continue;
    mounts.push({
      id: Number(fields[0]),
      parent: Number(fields[1]),
      root: unescapePath(fields[3]!),
      path: unescapePath(fields[4]!),
      options: fields[5]!.split(","),
      tags: fields.slice(6, separator),
      fstype: fields[separator + 1] ?? "",
      source: unescapePath(fields[separator + 2] ?? ""),
      superOptions: (fields[separator + 3] ?? "").split(","),
    });
  }
  return mounts;
}

/** Space, tab, newline and backslash are written as octal numbers. */
function unescapePath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
