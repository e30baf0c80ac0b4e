import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerSummary } from "./container.ts";
import { containerTree } from "./container-tree.ts";
import { imageTree } from "./image-tree.ts";
import { fit, terminalTable } from "./terminal-table.ts";
import { treeLines } from "./tree.ts";

const plain = (_: unknown, text: string) => text;

function container(name: string, more: Partial<ContainerSummary> = {}): ContainerSummary {
  return {
    ...{ Id: name.repeat(64).slice(0, 64), Names: [`/${name}`], Image: "app", ImageID: "" },
    ...{ Command: "", Created: 0, Ports: [], Labels: {}, State: "running", Status: "Up" },
    ...more,
  };
}

test("containers stand beneath their project, and beneath whose network they share", () => {
  const all = [
    container("w", { Labels: { "com.docker.compose.project": "shop" } }),
    container("d"),
    container("s", { HostConfig: { NetworkMode: "container:d" } }),
  ];
  const view = { paint: plain, whole: false };
  assert.deepEqual(treeLines(containerTree(all, "project", view)), [
    "project shop",
    "└─ w  wwwwwwwwwwww  app  Up",
    "d  dddddddddddd  app  Up",
    "└─ s  ssssssssssss  app  Up",
  ]);
  assert.equal(treeLines(containerTree(all, "parent", view)).length, 3);
});

test("containers that share each other's network are no endless tree", () => {
  const all = [
    container("a", { HostConfig: { NetworkMode: "container:a" } }),
    container("b", { HostConfig: { NetworkMode: "container:gone" } }),
  ];
  const view = { paint: plain, whole: false };
  assert.equal(treeLines(containerTree(all, "parent", view)).length, 2);
  const circle = [
    container("a", { HostConfig: { NetworkMode: "container:b" } }),
    container("b", { HostConfig: { NetworkMode: "container:a" } }),
    container("c", { HostConfig: { NetworkMode: "container:b" } }),
  ];
  assert.deepEqual(treeLines(containerTree(circle, "parent", view)), [
    "a  aaaaaaaaaaaa  app  Up",
    "b  bbbbbbbbbbbb  app  Up",
    "└─ c  cccccccccccc  app  Up",
  ]);
});

test("an image has its platforms beneath it, with the sizes of each", () => {
  const manifest = (architecture: string) => ({
    ...{ ID: `sha256:${architecture.padEnd(64, "0")}`, Available: true, Kind: "image" },
    Size: { Content: 1000, Total: 3000 },
    ImageData: { Platform: { os: "linux", architecture }, Containers: [] },
  });
  const lines = imageTree(
    [
      {
        ...{ Id: `sha256:${"f".repeat(64)}`, Created: 0, RepoTags: ["app:1"], RepoDigests: [] },
        ...{ Size: 3000, SharedSize: -1, Containers: 1 },
        Manifests: [manifest("amd64"), manifest("arm64")],
      },
    ],
    plain,
  );
  assert.match(lines[0]!, /^IMAGE +ID +DISK USAGE +CONTENT SIZE +EXTRA$/);
  assert.match(lines[1]!, /^app:1 +ffffffffffff +3kB +2kB +U$/);
  assert.match(lines[2]!, /^├─ linux\/amd64 +amd64\w+ +3kB +1kB$/);
  assert.match(lines[3]!, /^└─ linux\/arm64 /);
});

test("a table is cut to the window, the longest column first", () => {
  const cells = (...texts: string[]) => texts.map((text) => ({ text }));
  const table = {
    titles: ["ID", "NAMES"],
    rows: [cells("abc", "n".repeat(60)), cells("def", "\x1b[31mred")],
    cuts: new Set([1]),
  };
  const lines = terminalTable(table, plain, 40).trimEnd().split("\n");
  for (const line of lines) assert.ok([...line].length <= 40, line);
  assert.ok(lines[1]!.endsWith("…"));
  assert.ok(!lines[2]!.includes("\x1b"), "what moves the cursor is not passed on");
  assert.ok(terminalTable(table, plain, undefined).includes("n".repeat(60)));
  assert.deepEqual(fit([20, 50], new Set([0, 1]), 43), [20, 20]);
  assert.deepEqual(fit([20, 50], new Set([0, 1]), 5), [12, 12]);
});
