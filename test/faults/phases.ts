// What the program was about when something happened to it, read off the wire by the proxy: which statement it has sent, and which
// answer has reached it. Exact to the message, and it costs neither a connection nor a look. Not for faults (nemesis.ts).

import type { LinkWatcher } from '../support/fault-proxy.ts';

/** In the order of the road; of several connections the one furthest on speaks for the program. */
export const PHASES = [
  'starting', // nothing of the server has reached it yet: it has not begun
  'preparing', // migrations, the table, the lease's row
  'taking the lease',
  'reading', // it has its lease, and no transaction is open
  'books', // files written down as done, looks into the books
  'begin',
  'between statements', // of an open transaction
  'rows',
  'stage',
  'positions',
  'rejects',
  'commit',
] as const;

export type Phase = (typeof PHASES)[number];

/** What a statement is for, by how it begins. The first match decides. */
const STATEMENTS: readonly (readonly [Phase, RegExp])[] = [
  ['taking the lease', /^BEGIN[^]*pg_advisory_xact_lock\(/],
  ['begin', /^BEGIN/],
  ['commit', /^COMMIT/],
  ['stage', /^COPY pg_temp|^INSERT INTO "|millrace_stage/],
  ['rejects', /^COPY millrace\.rejects/],
  ['rows', /^COPY/],
  ['positions', /^WITH files/],
];

/** As far as a statement is looked at: the lock stands within. */
const LOOK_BYTES = 400;

/** ReadyForQuery, and its status outside of a transaction. */
const READY = 0x5a;
const IDLE = 0x49;

class Link implements LinkWatcher {
  readonly number: number;
  /** Null before the server's first answer. */
  phase: Phase | null = null;
  readonly #sight: Sight;

  constructor(number: number, sight: Sight) {
    this.number = number;
    this.#sight = sight;
  }

  asks(data: Buffer): void {
    const text = statementIn(data);
    if (text === null || this.phase === null) return; // the words of the connection's beginning
    const known = STATEMENTS.find(([, pattern]) => pattern.test(text))?.[0];
    const inside = this.phase !== 'reading' && this.phase !== 'preparing';
    if (known !== undefined) this.phase = known;
    else if (!inside) this.phase = this.#sight.hasLease ? 'books' : 'preparing';
    this.#sight.tell(this, `${this.phase} asked`);
  }

  answers(data: Buffer): void {
    if (data.length < 6 || data[data.length - 6] !== READY || data.readUInt32BE(data.length - 5) !== 5)
      return;
    const before = this.phase;
    const idle = data[data.length - 1] === IDLE;
    if (before === 'taking the lease' && idle) this.#sight.hasLease = true;
    if (!idle) this.phase = 'between statements';
    else this.phase = this.#sight.hasLease ? 'reading' : 'preparing';
    this.#sight.tell(this, before === null ? 'begun' : `${before} answered`);
  }

  closes(): void {
    this.#sight.forget(this);
  }
}

/** Of all connections since the program was started last. */
export class Sight {
  hasLease = false;
  readonly #links = new Set<Link>();
  #since = 0;
  #opened = 0;
  #begun = false;
  #waiting: { readonly what: string; readonly resolve: (seen: boolean) => void } | null = null;

  /** For the proxy. */
  open(): LinkWatcher {
    const link = new Link((this.#opened += 1), this);
    this.#links.add(link);
    return link;
  }

  /** What comes from now on is a new process. */
  reset(): void {
    this.#since = this.#opened + 1;
    this.hasLease = false;
    this.#begun = false;
  }

  /** The server has answered this process at least once. */
  get begun(): boolean {
    return this.#begun;
  }

  phase(): Phase {
    if (!this.#begun) return 'starting';
    const phases = [...this.#links].flatMap(({ number, phase }) =>
      number >= this.#since && phase !== null ? [PHASES.indexOf(phase)] : [],
    );
    const idle = PHASES.indexOf(this.hasLease ? 'reading' : 'preparing');
    return PHASES[Math.max(idle, ...phases)] ?? 'reading';
  }

  /**
   * Resolves in the very tick in which it is passed on: 'begun', or a phase with ' asked' (its statement goes to the server) or ' answered'
   * (the answer goes to the program). False when it did not come within `ms`.
   */
  async next(what: string, ms: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(resolve, ms, false);
    this.#waiting = { what, resolve };
    const seen = await promise;
    clearTimeout(timer);
    this.#waiting = null;
    return seen;
  }

  async begins(ms: number): Promise<boolean> {
    return this.#begun || this.next('begun', ms);
  }

  async leads(ms: number): Promise<boolean> {
    return this.hasLease || this.next('taking the lease answered', ms);
  }

  tell({ number }: Link, what: string): void {
    if (number < this.#since) return;
    this.#begun = true;
    if (this.#waiting?.what === what) this.#waiting.resolve(true);
  }

  forget(link: Link): void {
    this.#links.delete(link);
  }
}

/** The text of a simple query, or of one to be prepared; null when the piece begins with something else. */
function statementIn(data: Buffer): string | null {
  if (data[0] === 0x51) return data.toString('latin1', 5, LOOK_BYTES).trimStart();
  if (data[0] !== 0x50) return null;
  const name = data.indexOf(0, 5);
  return data.toString('latin1', name + 1, name + 1 + LOOK_BYTES).trimStart();
}
