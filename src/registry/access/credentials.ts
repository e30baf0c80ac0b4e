// The Authorization header, parsed once. What is too long or malformed is an error of its own, so
// that it is never taken for "nobody": somebody who meant to log in must hear that it failed.

/** More is refused before it is decoded; a token with a hundred scopes has some 12 KiB. */
export const authorizationBytesMax = 48 * 1024;

export type Credentials =
  | { type: "none" }
  | { type: "basic"; username: string; password: string }
  | { type: "bearer"; token: string }
  | { type: "malformed"; reason: string };

export function parseAuthorization(header: string | undefined): Credentials {
  if (header === undefined || header.trim() === "") return { type: "none" };
  if (header.length > authorizationBytesMax) return malformed("it is too long");
  const match = /^ *([A-Za-z]+) +([^ ]+) *$/.exec(header);
  if (!match) return malformed("it is not a scheme and one value");
  const [, scheme, value] = match as unknown as [string, string, string];
  switch (scheme.toLowerCase()) {
    case "bearer":
      return /^[A-Za-z0-9._~+/-]+=*$/.test(value)
        ? { type: "bearer", token: value }
        : malformed("the token has characters that no token has");
    case "basic":
      return parseBasic(value);
    default:
      return malformed("its scheme is neither Basic nor Bearer");
  }
}

function parseBasic(value: string): Credentials {
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(value)) return malformed("it is not base64");
  const bytes = Buffer.from(value, "base64");
  const text = bytes.toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 0) return malformed("it has no colon");
  const username = text.slice(0, colon);
  const password = text.slice(colon + 1);
  // skopeo sends an empty name and password where it has none.
  if (username === "" && password === "") return { type: "none" };
  if (username === "") return malformed("it has no user name");
  return { type: "basic", username, password };
}

function malformed(reason: string): Credentials {
  return { type: "malformed", reason };
}
