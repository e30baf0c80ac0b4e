// Globs over repository names, matched in time proportional to pattern times name whatever the
// pattern: no regular expression, so none that explodes.

/** `*` any characters but "/", `**` any, `?` one but "/", `{user}` the name given, literally. */
export function matchesGlob(pattern: string, name: string, user = ""): boolean {
  const tokens = tokenize(pattern, user);
  // reachable[i]: the tokens so far match the first i characters.
  let reachable = new Uint8Array(name.length + 1);
  reachable[0] = 1;
  for (const token of tokens) {
    const next = new Uint8Array(name.length + 1);
    for (let at = 0; at <= name.length; at++) {
      const before = at > 0 ? name[at - 1] : undefined;
      if (token === "**") next[at] = reachable[at]! | (at > 0 ? next[at - 1]! : 0);
      else if (token === "*") {
        next[at] = reachable[at]! | (before !== undefined && before !== "/" ? next[at - 1]! : 0);
      } else if (before !== undefined && reachable[at - 1]) {
        next[at] = token === "?" ? Number(before !== "/") : Number(token === `=${before}`);
      }
    }
    reachable = next;
  }
  return reachable[name.length] === 1;
}

/** Wildcards as they are, literal characters with "=" before them. */
function tokenize(pattern: string, user: string): string[] {
  const tokens: string[] = [];
  for (const part of pattern.match(/\{user\}|\*\*|[\s\S]/g) ?? []) {
    if (part === "{user}") {
      // Nobody has no name: "home/{user}/x" must not match "home//x" for him.
      if (user === "") tokens.push("=");
      tokens.push(...Array.from({ length: user.length }, (_, at) => `=${user[at]}`));
    } else if (part === "*" || part === "**" || part === "?") tokens.push(part);
    else tokens.push(`=${part}`);
  }
  return tokens;
}
