// A small seeded random number generator (sfc32), so that generated data is the same on every machine for the same seed.
// Not for secrets.

export interface Random {
  /** A whole number in [0, 2^32). */
  next(): number;
  /** A whole number in [0, bound). */
  below(bound: number): number;
  /** A number in [0, 1). */
  unit(): number;
}

/** `stream` makes independent sequences from one seed, e.g. one per file. */
export function seededRandom(seed: number, stream = 0): Random {
  let a = seed | 0;
  let b = stream | 0;
  let c = 0x9e3779b9;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return sum >>> 0;
  };
  for (let round = 0; round < 15; round += 1) next();
  return {
    next,
    below: (bound) => Math.floor((next() / 0x1_0000_0000) * bound),
    unit: () => next() / 0x1_0000_0000,
  };
}
