// Commands of Docker that have no meaning here, each with the reason why and what to use instead.

const REFUSED: Readonly<Record<string, string>> = {
  trust:
    "Docker Content Trust needs a Notary v1 server, which Docker itself has given up: it is not " +
    "supported; sign images with cosign or notation, and pin them by digest (NAME@sha256:…)",
};

/** Why the command is refused; undefined where it is not. */
export function refusalOf(name: string): string | undefined {
  return Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
}
