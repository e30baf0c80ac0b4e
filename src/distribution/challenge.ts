// Parses WWW-Authenticate (RFC 9110 section 11.6.1): one header may hold several challenges, their
// parameters quoted or not. In one pass: a header of any shape costs time in proportion to its
// length, which is limited besides.

export interface Challenge {
  scheme: string; // lower case
  parameters: Record<string, string>;
}

const headerCharsMax = 32 << 10;
const partsMax = 200;
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const SPACE = /[\s,]*/y;
const EQUALS = /[ \t]*=[ \t]*/y;
const PLAIN = /[^\s",]*/y;

/** Never throws: what cannot be read ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, headerCharsMax);
  const challenges: Challenge[] = [];
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  for (let part = 0; part < partsMax; part++) {
    take(SPACE);
    const word = take(TOKEN)?.toLowerCase();
    if (word === undefined) break;
    const current = challenges.at(-1);
    if (current === undefined || take(EQUALS) === undefined) {
      challenges.push({ scheme: word, parameters: {} });
      continue;
    }
    if (text[at] !== '"') current.parameters[word] = take(PLAIN) ?? "";
    else {
      const quoted = readQuoted(text, at);
      if (quoted === undefined) break;
      current.parameters[word] = quoted.value;
      at = quoted.end;
    }
  }
  return challenges;
}

/** A quoted string from its first quote on; undefined when it has no end. */
function readQuoted(text: string, start: number): { value: string; end: number } | undefined {
  let value = "";
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at]!;
    if (character === '"') return { value, end: at + 1 };
    value += character === "\\" ? (text[++at] ?? "") : character;
  }
  return undefined;
}
