// What the program was about when something happened to it, read off the wire by the proxy: which statement it has sent, and which
// answer has reached it. Exact to the message, and it costs neither a connection nor a look. Not for faults (nemesis.ts).

import type { LinkWatcher } from '../support/fault-proxy.ts';
import { Frames } from './wire.ts';

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
  ['positions', /^WITH files|^millrace_positions/],
];

/** Status of ReadyForQuery outside of a transaction. */
const IDLE = 0x49;

class Link implements LinkWatcher {
  readonly number: number;
  readonly #sight: Sight;
  readonly #asked = new Frames();
  readonly #answered = new Frames();
  /** Statements on their way, in order; the server has answered those that are not in here. */
  readonly #open: Phase[] = [];
  /** Null before the server's first answer. */
  #idle: Phase | null = null;
  /** The statement that is run next was sent to be prepared, and counted then. */
  #prepared = false;

  constructor(number: number, sight: Sight) {
    this.number = number;
    this.#sight = sight;
  }

  /** Of several statements on their way the last speaks. */
  get phase(): Phase | null {
    return this.#open.at(-1) ?? this.#idle;
  }

  asks(data: Buffer): void {
    if (this.#idle === null) return; // the words of the connection's beginning
    for (const { type, body } of this.#asked.read(data)) {
      if (type === 'Q') this.#push(body.toString('latin1'));
      else if (type === 'P') this.#push(body.toString('latin1', body.indexOf(0) + 1));
      else if (type === 'B' && !this.#prepared) this.#push(body.toString('latin1', body.indexOf(0) + 1));
      else if (type === 'd' && this.phase === 'begin') this.#become('rows');
      if (type === 'P' || type === 'B') this.#prepared = type === 'P';
    }
  }

  #push(text: string): void {
    const known = STATEMENTS.find(([, pattern]) => pattern.test(text.trimStart()))?.[0];
    const before = this.phase ?? 'preparing';
    const inside = before !== 'reading' && before !== 'preparing';
    const other = inside ? before : this.#sight.hasLease ? 'books' : 'preparing';
    this.#open.push(known ?? other);
    this.#sight.tell(this, `${known ?? other} asked`);
  }

  /** BEGIN, the fence and COPY travel in one message; now the rows do. */
  #become(phase: Phase): void {
    this.#open[this.#open.length - 1] = phase;
    this.#sight.tell(this, `${phase} asked`);
  }

  answers(data: Buffer): void {
    for (const { type, body } of this.#answered.read(data)) {
      if (type !== 'Z') continue;
      const before = this.#open.shift();
      const isIdle = body[0] === IDLE;
      if (before === 'taking the lease' && isIdle) this.#sight.hasLease = true;
      const begins = this.#idle === null;
      if (!isIdle) this.#idle = 'between statements';
      else this.#idle = this.#sight.hasLease ? 'reading' : 'preparing';
      this.#sight.tell(this, begins ? 'begun' : `${before} answered`);
    }
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
