// Modules of Node's own that a short command seldom needs and that take long to load (crypto alone
// 8 ms of CPU here): a bundle loads each of them when something of it is first used.

import { createRequire } from "node:module";
import type { Plugin } from "esbuild";

const LATE = ["child_process", "crypto", "zlib"];
const NAMESPACE = "late";
const require = createRequire(import.meta.url);

export const lateModules: Plugin = {
  name: "late-modules",
  setup(build) {
    const late = { filter: new RegExp(`^node:(${LATE.join("|")})$`) };
    build.onResolve(late, ({ path, namespace }) =>
      namespace === NAMESPACE ? { path, external: true } : { path, namespace: NAMESPACE },
    );
    build.onLoad({ filter: /./, namespace: NAMESPACE }, ({ path }) => ({ contents: proxy(path) }));
  },
};

/** A module in whose place each export is a getter. */
function proxy(path: string): string {
  const names = Object.keys(require(path)).filter((name) => /^\w+$/.test(name));
  const members = names.map((name) => `get ${name}() { return load().${name}; }`);
  return `const load = () => require("${path}");\nmodule.exports = { ${members.join(", ")} };`;
}
