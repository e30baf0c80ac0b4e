// Finds a cycle among numbered nodes, without recursion: a hostile file has thousands of stages.

/** The nodes of one cycle in order, or undefined. `edges[n]` are the nodes that n needs. */
export function findCycle(edges: readonly (readonly number[])[]): number[] | undefined {
  const state = new Uint8Array(edges.length); // 0 unseen, 1 on the path, 2 done
  for (let root = 0; root < edges.length; root++) {
    if (state[root] !== 0) continue;
    const path: { node: number; next: number }[] = [{ node: root, next: 0 }];
    state[root] = 1;
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const to = edges[top.node]![top.next++];
      if (to === undefined) {
        state[top.node] = 2;
        path.pop();
      } else if (state[to] === 1) {
        const nodes = path.map(({ node }) => node);
        return nodes.slice(nodes.indexOf(to));
      } else if (state[to] === 0) {
        state[to] = 1;
        path.push({ node: to, next: 0 });
      }
    }
  }
  return undefined;
}
