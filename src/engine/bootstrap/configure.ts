// Installs fetched packages inside a container: their scripts are code of strangers, so they run
// with a container's rights, without a network, never on the host. What the script leaves is clean:
// no lists, no caches, no logs, no ids of a machine, and no time later than the suite's.

import { buffer } from "node:stream/consumers";
import { GantryError } from "../../base/index.ts";
import { createContainer } from "../containers/create.ts";
import { removeContainer } from "../containers/remove.ts";
import { startContainer } from "../containers/start.ts";
import { waitContainer } from "../containers/wait.ts";
import type { EngineContext } from "../context.ts";
import type { Signal } from "../contract.ts";
import { containerLogs } from "../logs/index.ts";

const COMPLAINT_LINES = 15;

export interface Installation {
  /** Of the unpacked essential packages. */
  imageId: string;
  /** The folder of the .deb files. */
  archives: string;
  essential: readonly string[];
  further: readonly string[];
  epochSeconds: number;
  sources: string;
}

/** Runs the installation, gives its container to `use`, and removes it whatever happens. */
export async function withInstalled<T>(
  engine: EngineContext,
  installation: Installation,
  use: (containerId: string) => Promise<T>,
  { signal }: Signal,
): Promise<T> {
  const { imageId, archives, epochSeconds } = installation;
  const Env = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL=C",
    "DEBIAN_FRONTEND=noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN=true",
    `SOURCE_DATE_EPOCH=${epochSeconds}`,
  ];
  const config = { Image: imageId, Cmd: ["/bin/sh", "-c", installScript(installation)], Env };
  const hostConfig = { NetworkMode: "none", Binds: [`${archives}:/mnt:ro`] };
  const how = { volatile: true, ...(signal && { signal }) };
  const { id } = await createContainer(engine, { config, hostConfig }, how);
  try {
    await startContainer(engine, id);
    const { done } = await waitContainer(engine, id, "not-running", signal ? { signal } : {});
    const { exitCode } = await done;
    if (exitCode !== 0) throw await installError(engine, id, exitCode);
    return await use(id);
  } finally {
    await removeContainer(engine, id, { force: true, volumes: true });
  }
}

async function installError(engine: EngineContext, id: string, exitCode: number) {
  const asked = { follow: false, stdout: true, stderr: true, timestamps: false, details: false };
  const { stream } = await containerLogs(engine, id, { ...asked, tail: COMPLAINT_LINES });
  const said = plainText(await buffer(stream));
  return new GantryError(
    "internal",
    `The packages do not install (exit code ${exitCode}): ${said}`,
  );
}

/** Without the header of eight bytes that each piece of a log has. */
function plainText(log: Buffer): string {
  let text = "";
  for (let at = 0; at + 8 <= log.length; ) {
    const end = at + 8 + log.readUInt32BE(at + 4);
    text += log.toString("utf8", at + 8, end);
    at = end;
  }
  return text.trim();
}

const quoted = (value: string): string => `'${value.replaceAll("'", `'\\''`)}'`;
const inMnt = (names: readonly string[]): string => names.map((n) => quoted(`/mnt/${n}`)).join(" ");

function installScript({ essential, further, epochSeconds, sources }: Installation): string {
  const options = "--force-depends --force-unsafe-io --log=/dev/null";
  return [
    "set -e",
    // Nothing is started while packages are installed, here and in what is built on the image.
    "mkdir -p /usr/sbin",
    "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d",
    "chmod 755 /usr/sbin/policy-rc.d",
    `dpkg ${options} --install ${inMnt(essential)}`,
    ...(further.length > 0 ? [`dpkg ${options} --install ${inMnt(further)}`] : []),
    "dpkg --log=/dev/null --configure -a",
    `printf %s ${quoted(sources)} > /tmp/sources`,
    "if [ -d /etc/apt ]; then",
    "  mkdir -p /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/dpkg/dpkg.cfg.d",
    "  rm -f /etc/apt/sources.list",
    "  cat /tmp/sources > /etc/apt/sources.list.d/$(. /etc/os-release; echo $ID).sources",
    `  printf %s ${quoted(APT_CLEAN)} > /etc/apt/apt.conf.d/docker-clean`,
    `  printf %s ${quoted(APT_SMALL)} > /etc/apt/apt.conf.d/docker-gzip-indexes`,
    "  echo 'Acquire::Languages \"none\";' > /etc/apt/apt.conf.d/docker-no-languages",
    "  echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/docker-apt-speedup",
    "fi",
    // What a machine would make of its own, or would make again.
    "rm -rf /tmp/* /var/tmp/* /var/lib/apt/lists/* /var/cache/apt/*.bin",
    "rm -f /var/cache/apt/archives/*.deb /var/cache/ldconfig/aux-cache",
    "rm -f /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/lib/dpkg/lock*",
    "rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-",
    "rm -f /etc/.pwd.lock /var/lib/dbus/machine-id /var/lib/systemd/random-seed",
    "rm -f /root/.bash_history /etc/ssh/ssh_host_*",
    "if [ -e /etc/machine-id ]; then : > /etc/machine-id; fi",
    "find /var/log -type f -delete",
    // What is mounted here (/etc/hosts, /mnt) is not ours to touch, and does not travel.
    `find / -xdev -newermt @${epochSeconds} -exec touch -h -d @${epochSeconds} {} + || true`,
  ].join("\n");
}

/** Packages that were installed leave nothing behind, also in images that are built on this one. */
const APT_CLEAN = `DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
`;
const APT_SMALL = `Acquire::GzipIndexes "true";
Acquire::CompressionTypes::Order:: "gz";
`;
