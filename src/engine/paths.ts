// Where the engine keeps its own files. Two trees:
//
//   <dataRoot>/containers/<id>/        hostname, hosts, resolv.conf, exit, <id>-json.log[.N[.gz]]
//   <dataRoot>/volumes/<name>/_data    named and anonymous volumes of the local driver
//   <dataRoot>/events.db               the log of events (events/event-log.ts)
//   <execRoot>/m/<32 hex of id>.sock   the monitor's socket (a unix socket path has 107 bytes)

import { join } from "node:path";

const SOCKET_NAME_HEX = 32;

export interface ContainerPaths {
  dir: string;
  hostname: string;
  hosts: string;
  resolvConf: string;
  exit: string;
  log: string;
  socket: string;
}

export interface EnginePaths {
  containers: string;
  volumes: string;
  monitors: string;
  events: string;
  container(id: string): ContainerPaths;
  volumeData(name: string): string;
}

export function enginePaths(o: { dataRoot: string; execRoot: string }): EnginePaths {
  const containers = join(o.dataRoot, "containers");
  const volumes = join(o.dataRoot, "volumes");
  const monitors = join(o.execRoot, "m");
  return {
    containers,
    volumes,
    monitors,
    events: join(o.dataRoot, "events.db"),
    container: (id) => {
      const dir = `${containers}/${id}`;
      return {
        dir,
        hostname: `${dir}/hostname`,
        hosts: `${dir}/hosts`,
        resolvConf: `${dir}/resolv.conf`,
        exit: `${dir}/exit`,
        log: `${dir}/${id}-json.log`,
        socket: `${monitors}/${id.slice(0, SOCKET_NAME_HEX)}.sock`,
      };
    },
    volumeData: (name) => `${volumes}/${name}/_data`,
  };
}
