// `npm run test:conformance`: the conformance suite of the distribution spec's own authors, a Go
// module, against a registry of ours with every workflow switched on. It needs Go and the module:
// from the Go module proxy, or from a folder or a compiled test binary that
// GANTRY_CONFORMANCE_SUITE names. Where they cannot be had it says so and skips (exit code 0);
// test/conformance/workflows.test.ts, which runs everywhere, covers the same ground.

import { existsSync, statSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../e2e/process.ts";
import { RegistryProcess } from "../support/registry-process.ts";

const MODULE = "github.com/opencontainers/distribution-spec/conformance";
const VERSION = "v0.0.0-20250220192232-583e014d1541"; // the commit of v1.1.1
const BUILD_DEADLINE_MS = 300_000;
const WORKFLOWS = {
  OCI_TEST_PULL: "1",
  OCI_TEST_PUSH: "1",
  OCI_TEST_CONTENT_DISCOVERY: "1",
  OCI_TEST_CONTENT_MANAGEMENT: "1",
  OCI_HIDE_SKIPPED_WORKFLOWS: "0",
};

const folder = await mkdtemp(join(tmpdir(), "gantry-conformance-"));
try {
  const suite = await findSuite();
  if ("missing" in suite) console.log(`0 passed, 0 failed, 1 skipped: ${suite.missing}`);
  else process.exitCode = await runSuite(suite.binary);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function findSuite(): Promise<{ binary: string } | { missing: string }> {
  const given = process.env["GANTRY_CONFORMANCE_SUITE"];
  if (given !== undefined && statSync(given).isFile()) return { binary: given };
  const go = (process.env["PATH"] ?? "")
    .split(":")
    .concat("/usr/local/go/bin")
    .map((at) => join(at, "go"))
    .find((path) => existsSync(path));
  if (go === undefined) return { missing: "needs Go" };
  const binary = join(folder, "suite");
  const compile = async (cwd: string, what: string) => {
    const line = `cd '${cwd}' && '${go}' test -c -o '${binary}' ${what}`;
    return await run("sh", ["-c", line], { deadlineMs: BUILD_DEADLINE_MS });
  };
  if (given !== undefined) {
    const { code, stderr } = await compile(given, ".");
    if (code !== 0) throw new Error(`The suite in ${given} does not compile:\n${stderr}`);
    return { binary };
  }
  await writeFile(join(folder, "go.mod"), "module gantry/conformance\n");
  await writeFile(join(folder, "suite_test.go"), `package suite\nimport _ "${MODULE}"\n`);
  const line = `cd '${folder}' && '${go}' get -t ${MODULE}@${VERSION}`;
  const got = await run("sh", ["-c", line], { deadlineMs: BUILD_DEADLINE_MS });
  if (got.code !== 0) {
    return { missing: `the module cannot be had here: ${got.stderr.trim().split("\n").at(-1)}` };
  }
  const { code, stderr } = await compile(folder, MODULE);
  if (code !== 0) throw new Error(`The suite does not compile:\n${stderr}`);
  return { binary };
}

async function runSuite(binary: string): Promise<number> {
  const registry = await RegistryProcess.start();
  try {
    let failed = 0;
    // Both orders of deleting are allowed; a suite that begins with the blobs finds other faults.
    for (const order of ["0", "1"]) {
      const { code, stdout, stderr } = await run(
        "sh",
        ["-c", `cd '${folder}' && exec '${binary}' -test.v`],
        {
          deadlineMs: BUILD_DEADLINE_MS,
          env: {
            ...WORKFLOWS,
            OCI_ROOT_URL: registry.url,
            OCI_NAMESPACE: `conformance/order${order}`,
            OCI_CROSSMOUNT_NAMESPACE: `conformance/other${order}`,
            OCI_DELETE_MANIFEST_BEFORE_BLOBS: order,
            OCI_REPORT_DIR: folder,
          },
        },
      );
      console.log(stdout, stderr);
      if (code !== 0) failed++;
    }
    console.log(`${2 - failed} passed, ${failed} failed`);
    return failed === 0 ? 0 : 1;
  } finally {
    await registry.stop();
  }
}
