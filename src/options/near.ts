// "Did you mean": which known word a person may have meant. Nothing is known here of what the words are for.

/** Changes of single letters that still count as a slip. */
const SLIPS_MAX = 2;

/** The known word that is nearest, if any is near; also one of which only the beginning was written. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  return (
    known.find((each) => each.startsWith(word)) ??
    known
      .map((each) => ({ each, slips: distance(each, word) }))
      .filter(({ slips }) => slips <= SLIPS_MAX)
      .toSorted((a, b) => a.slips - b.slips)[0]?.each
  );
}

/** Edit distance (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 0; i < a.length; i += 1) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j += 1) {
      const [left, above, corner] = [next[j] ?? 0, row[j + 1] ?? 0, row[j] ?? 0];
      next.push(Math.min(corner + (a[i] === b[j] ? 0 : 1), above + 1, left + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
