// When is a file final, so that an unterminated last record may be decided? Pure; stillness is measured with the monotonic clock
// between our own looks, never as a file's mtime against now: clocks of file servers differ, and wall clocks jump.

export interface Stillness {
  /** When the present stamp was first seen. */
  readonly sinceMs: number;
  /** When it was seen last. */
  readonly lookedMs: number;
  /** This content has been seen to grow: somebody is appending to it. */
  readonly grew: boolean;
}

export interface SettleRule {
  readonly once: boolean;
  readonly settleMs: number;
  readonly settleGrowingMs: number;
}

/** How long the same stamp must have stood for a file to be final. */
export function finalAfterMs(grew: boolean, rule: SettleRule): number {
  return grew && !rule.once ? rule.settleGrowingMs : rule.settleMs;
}

/** Nothing more will be appended: an unterminated record at the end is taken as it is, and the file may be archived. */
export function isFinal(file: Stillness, rule: SettleRule): boolean {
  return file.lookedMs - file.sinceMs >= finalAfterMs(file.grew, rule);
}

/** Still enough to be called done when all of it is committed; should it grow later, reading goes on. */
export function isStill(file: Stillness, rule: SettleRule): boolean {
  return file.lookedMs - file.sinceMs >= rule.settleMs;
}
