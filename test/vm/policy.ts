// Debian's SELinux policy, compiled once into the cache from the modules of the package, with its
// own suite's compiler and libraries; nothing of it is installed. What the machine has beside it is
// policy/gantry.cil.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { fetchPackages, run } from "./debian.ts";

/** It has modules for containers and docker; bookworm's has not. */
const SUITE = "trixie";
const PACKAGES = [
  "selinux-policy-default",
  // The compilers (pp, secilc) and what they are linked with.
  ...["policycoreutils", "secilc", "libsepol2", "libc6"],
];
const OWN = fileURLToPath(new URL("policy/gantry.cil", import.meta.url));
/** Of kernels since 5.15; checked by the kernel. */
const POLICY_VERSION = "33";
const LIBRARIES = "usr/lib/x86_64-linux-gnu";

const COMPILE = `
set -e
tools=$1 own=$2
run() { "$tools/${LIBRARIES}/ld-linux-x86-64.so.2" --library-path "$tools/${LIBRARIES}" "$@"; }
mkdir cil
for module in "$tools"/usr/share/selinux/default/*.pp.bz2; do
  name=$(basename "$module" .pp.bz2)
  bzip2 -dc "$module" >module
  run "$tools/usr/libexec/selinux/hll/pp" module >"cil/$name.cil"
done
mv cil/base.cil base
run "$tools/usr/bin/secilc" -m -M true -U allow -c ${POLICY_VERSION} -o policy -f /dev/null \\
  base cil/*.cil "$own"
cp -r "$tools/etc/selinux/default/contexts" contexts
rm -r cil base module
`;

/** A folder with "policy", for /sys/fs/selinux/load, and "contexts". */
export async function fetchPolicy(): Promise<string> {
  const tools = await fetchPackages(`selinux-${SUITE}`, SUITE, PACKAGES);
  const hash = createHash("sha256")
    .update(COMPILE)
    .update(await readFile(OWN))
    .digest("hex");
  const folder = `${tools}-${hash.slice(0, 16)}`;
  if (existsSync(folder)) return folder;
  process.stderr.write("vm: compiling the SELinux policy\n");
  const scratch = await mkdtemp(`${folder}-`);
  try {
    await run("sh", ["-c", COMPILE, "sh", tools, OWN], { cwd: scratch });
    await rename(scratch, folder);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return folder;
}
