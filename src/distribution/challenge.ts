// Parses WWW-Authenticate (RFC 9110 section 11.6.1): one header may hold several challenges, their
// parameters quoted or not.

export interface Challenge {
  scheme: string; // lower case
  parameters: Record<string, string>;
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+/;

/** Never throws: what cannot be read ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  let rest = header.trim();
  while (rest !== "") {
    const word = TOKEN.exec(rest)?.[0];
    if (word === undefined) break;
    const after = rest.slice(word.length);
    const value = /^\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]*))/.exec(after);
    const current = challenges.at(-1);
    if (value !== null && current !== undefined) {
      const text = value[1]?.replace(/\\(.)/g, "$1") ?? value[2] ?? "";
      current.parameters[word.toLowerCase()] = text;
      rest = after.slice(value[0].length);
    } else {
      challenges.push({ scheme: word.toLowerCase(), parameters: {} });
      rest = after;
    }
    rest = rest.replace(/^[\s,]+/, "");
  }
  return challenges;
}
