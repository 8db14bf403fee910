// Loaded into a program under test with --import, in its worker threads as well: the time of day jumps by days every 200 ms, back and
// forth. The monotonic clock stays, as it does on a machine whose clock is set.

const JUMP_EVERY_MS = 200;
const DAY_MS = 86_400_000;
const OFFSETS_MS = [0, DAY_MS, -DAY_MS, 400 * DAY_MS, -20_000 * DAY_MS, 3_600_000] as const;

const TrueDate = Date;

function jumpedNow(): number {
  const turn = Math.floor(performance.now() / JUMP_EVERY_MS) % OFFSETS_MS.length;
  return TrueDate.now() + (OFFSETS_MS[turn] ?? 0);
}

class JumpingDate extends TrueDate {
  constructor(...args: [] | [number | string | Date]) {
    if (args.length === 0) super(jumpedNow());
    else super(...args);
  }

  static override now(): number {
    return jumpedNow();
  }
}

globalThis.Date = JumpingDate as DateConstructor;
