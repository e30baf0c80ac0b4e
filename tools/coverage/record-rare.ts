// For the recorder: what only a daemon shows that was told of a runtime, of a volume plugin and
// of experiments; images of several platforms with attestations; and what a registry is asked.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IMAGE, type TestDaemon } from "../../test/e2e/harness.ts";
import { volumePlugin } from "../../test/support/plugin-server.ts";
import { RegistryProcess } from "../../test/support/registry-process.ts";
import { type Ask, describeDevice } from "./record-container.ts";

const NAME = "coverage-rare";
const DOCKERFILE = `FROM scratch
COPY Dockerfile /
USER 7:7
WORKDIR /work
VOLUME /kept
ENTRYPOINT ["/bin/true"]
`;

/** What is beside the daemon: a folder with a CDI device, a configuration and a plugin. */
export class Surroundings {
  readonly folder: string;
  readonly args: string[];
  readonly #plugin: ReturnType<typeof volumePlugin>;

  private constructor(folder: string) {
    this.folder = folder;
    this.#plugin = volumePlugin(join(folder, "sockets/store.sock"), join(folder, "store"));
    this.args = [
      ...["--default-address-pool", "base=10.77.0.0/16,size=24", "--experimental"],
      ...["--cdi-spec-dir", join(folder, "cdi"), "--config-file", join(folder, "daemon.json")],
      ...["--plugin-socket-dir", join(folder, "sockets")],
      ...["--plugin-spec-dir", join(folder, "specs")],
    ];
  }

  static async make(): Promise<Surroundings> {
    const made = new Surroundings(await mkdtemp(join(tmpdir(), "gantry-coverage-")));
    await describeDevice(join(made.folder, "cdi"));
    const runtimes = { other: { path: "/bin/true", runtimeArgs: ["--kind=other"] } };
    await writeFile(join(made.folder, "daemon.json"), JSON.stringify({ runtimes }));
    await made.#plugin.start();
    return made;
  }

  async remove(): Promise<void> {
    await this.#plugin.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export async function recordRare(ask: Ask, daemon: TestDaemon): Promise<void> {
  await ask("VolumeCreate", "POST", "/volumes/create", { Name: NAME, Driver: "store" });
  await ask("VolumeList", "GET", "/volumes");
  await ask("VolumeInspect", "GET", `/volumes/${NAME}`);
  await ask("", "DELETE", `/volumes/${NAME}`);
  const [range, taken] = ["10.203.0.0/24", { router: "10.203.0.9" }];
  const IPAM = { Config: [{ Subnet: range, AuxiliaryAddresses: taken }] };
  await ask("NetworkCreate", "POST", "/networks/create", { Name: NAME, IPAM });
  await ask("NetworkList", "GET", "/networks");
  await ask("NetworkInspect", "GET", `/networks/${NAME}`);
  await ask("", "DELETE", `/networks/${NAME}`);
  await recordExec(ask);
  const registry = await RegistryProcess.start({ netnsOf: await daemon.pid() });
  try {
    await recordBuilt(ask, daemon, registry.host);
  } finally {
    await registry.stop();
  }
}

async function recordExec(ask: Ask): Promise<void> {
  const body = { Image: IMAGE, Cmd: ["/bin/sleep", "600"], HostConfig: { NetworkMode: "none" } };
  await ask("", "POST", `/containers/create?name=${NAME}`, body);
  await ask("", "POST", `/containers/${NAME}/start`);
  const exec = { Cmd: ["/bin/true"], User: "7:7" };
  const { Id } = (await ask("", "POST", `/containers/${NAME}/exec`, exec)) as { Id: string };
  await ask("ExecInspect", "GET", `/exec/${Id}/json`);
  await ask("", "DELETE", `/containers/${NAME}?force=1`);
}

async function recordBuilt(ask: Ask, daemon: TestDaemon, host: string): Promise<void> {
  const context = join(daemon.folder, NAME);
  const image = `${host}/${NAME}:1`;
  await mkdir(context);
  await writeFile(join(context, "Dockerfile"), DOCKERFILE);
  const platforms = ["--platform", "linux/amd64,linux/arm/v7", "--provenance=true"];
  await daemon.ok("build", "-q", "-t", image, ...platforms, context);
  await ask("ImageList", "GET", "/images/json?manifests=1");
  await ask("ImageInspect", "GET", `/images/${image}/json?manifests=1`);
  const platform = encodeURIComponent('{"os":"linux","architecture":"arm","variant":"v7"}');
  await ask("ImageInspect", "GET", `/images/${image}/json?platform=${platform}`);
  await ask("ImageAttestations", "GET", `/images/${image}/attestations?statement=1`);
  await daemon.ok("push", "-q", "--all-platforms", image);
  await ask("DistributionInspect", "GET", `/distribution/${image}/json`);
  await ask("ImageSearch", "GET", `/images/search?term=${host}/${NAME}`);
  await ask("SystemAuth", "POST", "/auth", { username: "a", password: "b", serveraddress: host });
  await ask(
    "ImagePrune",
    "POST",
    `/images/prune?filters=${encodeURIComponent('{"dangling":["0"]}')}`,
  );
}
