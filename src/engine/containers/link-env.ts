// The variables by which docker tells a container of one that it is linked to. Pure. The names are
// docker's, as scripts of images read them: DB_PORT, DB_PORT_5432_TCP_ADDR, DB_ENV_…, DB_NAME.

export interface LinkedPort {
  number: number;
  protocol: string;
}

/** Variables of an image's making that say nothing of the linked container. */
const NOT_PASSED_ON = new Set(["HOME", "PATH"]);

export function linkEnv(o: {
  alias: string;
  /** "/app/db": the linking container and the alias. */
  linkName: string;
  address: string;
  ports: readonly LinkedPort[];
  env: readonly string[];
}): string[] {
  const prefix = o.alias.toUpperCase().replaceAll("-", "_");
  const ports = [...o.ports].sort(
    (a, b) =>
      Number(b.protocol === "tcp") - Number(a.protocol === "tcp") ||
      a.protocol.localeCompare(b.protocol) ||
      a.number - b.number,
  );
  const variables: string[] = [];
  const say = (name: string, value: string | number): void =>
    void variables.push(`${prefix}_${name}=${value}`);
  const url = ({ protocol, number }: LinkedPort): string => `${protocol}://${o.address}:${number}`;
  const of = ({ protocol, number }: LinkedPort): string =>
    `PORT_${number}_${protocol.toUpperCase()}`;

  const [first] = ports;
  if (first) say("PORT", url(first));
  for (const { from, to } of ranges(ports)) {
    say(`${of(from)}_START`, url(from));
    say(`${of(from)}_PORT_START`, from.number);
    say(`${of(from)}_END`, url(to));
    say(`${of(from)}_PORT_END`, to.number);
  }
  for (const port of ports) {
    say(of(port), url(port));
    say(`${of(port)}_ADDR`, o.address);
    say(`${of(port)}_PORT`, port.number);
    say(`${of(port)}_PROTO`, port.protocol);
  }
  say("NAME", o.linkName);
  for (const entry of o.env) {
    const equals = entry.indexOf("=");
    if (equals < 0 || NOT_PASSED_ON.has(entry.slice(0, equals))) continue;
    say(`ENV_${entry.slice(0, equals)}`, entry.slice(equals + 1));
  }
  return variables;
}

/** Ports one after the other: two and more. */
function ranges(ports: readonly LinkedPort[]): { from: LinkedPort; to: LinkedPort }[] {
  const found: { from: LinkedPort; to: LinkedPort }[] = [];
  for (let at = 0; at < ports.length; ) {
    let end = at;
    while (follows(ports[end]!, ports[end + 1])) end++;
    if (end > at) found.push({ from: ports[at]!, to: ports[end]! });
    at = end + 1;
  }
  return found;
}

const follows = (one: LinkedPort, next: LinkedPort | undefined): boolean =>
  next?.number === one.number + 1 && next.protocol === one.protocol;
