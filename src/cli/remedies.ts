// What to do about errors that come without advice: from registries, from ssh, from an older
// daemon. The error itself stays as it was worded, because programs search for that.

interface Remedy {
  error: RegExp;
  /** What to do; the groups of the pattern are at hand. */
  hint: (match: RegExpExecArray) => string;
}

const REMEDIES: readonly Remedy[] = [
  {
    error: /command \[ssh .* has exited with exit status 255/,
    hint: () => "try the same with `ssh` alone: it must log in without asking for a password",
  },
  {
    error: /(?:port is already allocated|address already in use)/,
    hint: () =>
      "`gantry ps` shows published ports, `ss -ltnp` other programs; choose another with -p",
  },
  {
    error: /exec format error/,
    hint: () =>
      "the program is for another architecture: see `gantry image inspect -f '{{.Architecture}}' " +
      "IMAGE`, and pull or build with --platform; or it is a script without #!",
  },
  {
    error: /no matching manifest for (\S+)/,
    hint: () => "`gantry manifest inspect IMAGE` lists its platforms; choose one with --platform",
  },
  {
    error: /pull access denied for (\S+?),|(?:unauthorized|denied): /,
    hint: () => "check the name; for a private image, `gantry login` to its registry first",
  },
  {
    error: /toomanyrequests/,
    hint: () => "`gantry login`, or name a mirror in daemon.json (registry-mirrors)",
  },
  {
    error: /no space left on device/,
    hint: () =>
      "`gantry system df` shows what takes it, `gantry system prune` frees what is unused",
  },
  {
    error: /[Cc]ontainer (\S+) is not running/,
    hint: ([, name]) => `start it with \`gantry start ${name}\``,
  },
  {
    error: /volume is in use - \[(\w+)/,
    hint: ([, id]) => `the container ${id?.slice(0, 12)} has it: remove that one first`,
  },
  {
    error: /network (\S+) has active endpoints/,
    hint: ([, name]) => `\`gantry network inspect ${name}\` names them; disconnect them first`,
  },
  {
    error: /server gave HTTP response to HTTPS client/,
    hint: () =>
      "name the registry in daemon.json (insecure-registries) if it is meant to have no TLS",
  },
  {
    error: /certificate signed by unknown authority|unable to verify the first certificate/,
    hint: () => "put the registry's CA into /etc/docker/certs.d/HOST:PORT/ca.crt",
  },
];

/** What to do about it; undefined where nothing is known. */
export function remedyFor(message: string): string | undefined {
  for (const { error, hint } of REMEDIES) {
    const match = error.exec(message);
    if (match) return hint(match);
  }
  return undefined;
}
