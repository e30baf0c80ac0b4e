// Trees with lines between parent and children.

export interface TreeNode {
  text: string;
  children?: readonly TreeNode[];
}

/** The lines of a forest; roots stand at the margin. */
export function treeLines(roots: readonly TreeNode[]): string[] {
  return roots.flatMap((root) => [root.text, ...branches(root.children ?? [], "")]);
}

function branches(nodes: readonly TreeNode[], indent: string): string[] {
  return nodes.flatMap(({ text, children = [] }, at) => {
    const isLast = at === nodes.length - 1;
    const head = `${indent}${isLast ? "└─ " : "├─ "}${text}`;
    return [head, ...branches(children, `${indent}${isLast ? "   " : "│  "}`)];
  });
}
