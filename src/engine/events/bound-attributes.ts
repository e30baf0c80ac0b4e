// Events carry the labels of their object, and labels are as long as an image or a client likes:
// what is told again and again, and kept on disk, has a limit. Pure.

const EVENT_CHARACTERS_MAX = 64 * 1024;
const VALUE_CHARACTERS_MAX = 1024;
/** What events are for; these stay whatever else goes. */
const OWN = ["name", "image", "exitCode", "execID", "execDuration", "signal", "container"];

/** The attributes, in the order in which Go writes a map; those of an event that is too long with
 * their long values cut and, where that is not enough, without the last of its labels. */
export function boundAttributes(
  attributes: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const all = Object.entries(attributes).flatMap(([key, value]): [string, string][] =>
    value === undefined ? [] : [[key, value]],
  );
  all.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  if (sizeOf(all) <= EVENT_CHARACTERS_MAX) return Object.fromEntries(all);
  const cut = all.map(([key, value]): [string, string] => [key, shortened(value)]);
  let left = EVENT_CHARACTERS_MAX - sizeOf(cut.filter(([key]) => OWN.includes(key)));
  const kept = cut.filter(([key, value]) => {
    if (OWN.includes(key)) return true;
    left -= key.length + value.length;
    return left >= 0;
  });
  return Object.fromEntries(kept);
}

function sizeOf(pairs: readonly [string, string][]): number {
  return pairs.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
}

const shortened = (value: string): string =>
  value.length <= VALUE_CHARACTERS_MAX ? value : `${value.slice(0, VALUE_CHARACTERS_MAX)}…`;
