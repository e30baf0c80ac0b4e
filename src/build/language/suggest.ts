// "did you mean COPY?": the nearest of the words that would have been right.

const DISTANCE_MAX = 2;
const WORD_CHARS_MAX = 64;

/** The option nearest to `word`, at most two edits away; undefined when it is itself an option. */
export function nearest(word: string, options: Iterable<string>): string | undefined {
  if (word.length > WORD_CHARS_MAX || word.length === 0) return undefined;
  const wanted = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = DISTANCE_MAX + 1;
  for (const option of options) {
    if (option.toLowerCase() === wanted) return undefined;
    const distance = editDistance(wanted, option.toLowerCase());
    if (distance < bestDistance) {
      best = option;
      bestDistance = distance;
    }
  }
  return best;
}

/** " (did you mean X?)" or nothing. */
export function didYouMean(word: string, options: Iterable<string>): string {
  const found = nearest(word, options);
  return found === undefined ? "" : ` (did you mean ${found}?)`;
}

/** Edits of one letter, two neighbours swapped being one edit. */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > DISTANCE_MAX) return DISTANCE_MAX + 1;
  let older: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(row[j - 1]! + 1, previous[j]! + 1, previous[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, older[j - 2]! + 1);
      }
      row.push(best);
    }
    older = previous;
    previous = row;
  }
  return previous[b.length]!;
}
