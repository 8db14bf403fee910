// Keeps the program running, as a service manager does, and counts what was done to it. A death that nobody caused is a violation.

import { setTimeout as sleep } from 'node:timers/promises';

import type { Ended, Road, Run } from '../support/road.ts';
import type { Sight } from './phases.ts';

const FENCED = 4;

/** A start that has not reached the server after so long will not before it is there again. */
const BEGIN_MS_MAX = 10_000;

/** Nothing written for so long, and not at rest, is standing still: far beyond every back-off and time-out. */
const STILL_MS_MAX = 60_000;

/** For a program that stands still: what its backends are doing. */
const BACKENDS = `SELECT pid, state, wait_event, (clock_timestamp() - query_start)::text AS since, pg_blocking_pids(pid) AS blocked_by, query
  FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`;

/** When its last statement began that was no mere look. Not a count of rows: isolating refused ones goes on for minutes in one transaction. */
const LAST_WRITE = `SELECT max(query_start)::text AS last FROM pg_stat_activity
  WHERE application_name LIKE 'millrace%' AND datname = current_database() AND query !~ '^\\s*SELECT'`;

/** What a start gets in its environment; an armed fail-point kills it at a place that cannot be seen from outside. */
export type Arms = () => NodeJS.ProcessEnv;

export class Supervisor {
  readonly violations: string[] = [];
  readonly counts = { starts: 0, kills: 0, tooEarly: 0, stops: 0, freezes: 0, takeOvers: 0 };
  /** What it was about when it was killed, and how often. */
  readonly phases = new Map<string, number>();
  readonly #road: Road;
  readonly #args: readonly string[];
  readonly #sight: Sight;
  readonly #arms: Arms;
  /** The one that is meant to work. */
  #current: Run;
  /** Those whose end is somebody's doing. */
  readonly #doomed = new Set<Run>();
  #over = false;

  constructor(road: Road, args: readonly string[], sight: Sight, arms: Arms) {
    this.#road = road;
    this.#args = args;
    this.#sight = sight;
    this.#arms = arms;
    this.#current = this.#start();
  }

  /** However a round ends, nothing is started again after it: else the road that ends what runs would go on for ever. */
  [Symbol.dispose](): void {
    this.#over = true;
  }

  /** It has reached the server, whatever it does there. Waits for that. */
  begins(): Promise<boolean> {
    return this.#sight.begins(BEGIN_MS_MAX);
  }

  /** It is the one that may write. Waits for that. */
  leads(): Promise<boolean> {
    return this.#sight.leads(BEGIN_MS_MAX);
  }

  /** kill -9, and once more `againAfterMs` after the new one has begun. Counted when it had begun. */
  async kill(...againAfterMs: readonly number[]): Promise<void> {
    await this.#killNow();
    for (const delayMs of againAfterMs) {
      await this.begins();
      await sleep(delayMs);
      await this.#killNow();
    }
  }

  async #killNow(): Promise<void> {
    const run = this.#current;
    const phase = this.#sight.phase();
    this.#doomed.add(run);
    run.child.kill('SIGKILL');
    const ended = await run.ended;
    if (ended.signal === 'SIGKILL') this.#countKill(ended, phase);
    else this.#complain('before it was killed it ended', ended);
    this.#current = this.#start();
  }

  #countKill({ stderr }: Ended, phase: string): void {
    const [, place] = /^millrace: fail-point (\S+): kill$/m.exec(stderr) ?? [];
    if (place === undefined && phase === 'starting') this.counts.tooEarly += 1;
    else {
      const name = place === undefined ? phase : `at ${place}`;
      this.phases.set(name, (this.phases.get(name) ?? 0) + 1);
      this.counts.kills += 1;
    }
  }

  /** An orderly end: what is in flight is finished or rolled back within 10 s. */
  async stop(): Promise<void> {
    const run = this.#current;
    this.#doomed.add(run);
    run.child.kill('SIGTERM');
    const begunMs = performance.now();
    const ended = await run.ended;
    // Asked before its handlers were there, it dies of the signal itself, which is as good.
    if (ended.signal === 'SIGKILL') this.#countKill(ended, 'stopping');
    else if (ended.code !== 0 && ended.code !== 3 && ended.signal !== 'SIGTERM')
      this.#complain('after SIGTERM it ended', ended);
    else this.counts.stops += 1;
    if (performance.now() - begunMs > 12_000)
      this.violations.push('it took more than 12 s to end after SIGTERM');
  }

  async restart(): Promise<void> {
    await this.stop();
    this.#current = this.#start();
  }

  async freeze(ms: number): Promise<void> {
    const { child } = this.#current;
    this.counts.freezes += 1;
    child.kill('SIGSTOP');
    await sleep(ms);
    child.kill('SIGCONT');
  }

  /** A second instance on the same folder; one of the two must end with the code of the fenced. `frozenMs`: the first one sleeps meanwhile. */
  async takeOver(frozenMs: number): Promise<void> {
    const older = this.#current;
    this.#doomed.add(older);
    if (frozenMs > 0) older.child.kill('SIGSTOP');
    // Not to die at a place of its own: then the older one would end as well, fenced off by the dead.
    const younger = this.#start({ MILLRACE_FAILPOINT: '' });
    this.#doomed.add(younger);
    if (frozenMs > 0) {
      await this.begins();
      await sleep(frozenMs);
    }
    older.child.kill('SIGCONT');
    const race = [older, younger].map(async (run) => ({ run, ended: await run.ended }));
    const first = await Promise.race([...race, sleep(60_000, null, { ref: false })]);
    if (first === null) {
      const backends = await this.#road.query(BACKENDS).catch((error: unknown) => [{ error: String(error) }]);
      this.violations.push(
        `of two instances none was fenced off within 60 s\nthe older: ${tail(older.said())}\nthe younger: ${tail(younger.said())}\n${JSON.stringify(backends)}`,
      );
      older.child.kill('SIGKILL');
    } else if (first.ended.code === FENCED) this.counts.takeOvers += 1;
    else if (first.ended.signal === 'SIGKILL') this.#countKill(first.ended, 'starting');
    else this.#complain('of two instances one ended', first.ended);
    this.#current = first?.run === younger ? older : younger;
    this.#doomed.delete(this.#current);
    this.#watch(this.#current);
  }

  /** Of the one that is meant to work. */
  get pid(): number {
    return this.#current.child.pid ?? 0;
  }

  said(): string {
    return this.#current.said();
  }

  /** Waits for what must become true without further help: as long as it writes, at most `ms`. */
  async settles(what: string, condition: () => Promise<boolean>, ms: number): Promise<void> {
    const endMs = performance.now() + ms;
    let [wrote, aliveMs] = ['', performance.now()];
    while (!(await condition())) {
      const now = await this.#lastWrite();
      if (now !== wrote) [wrote, aliveMs] = [now, performance.now()];
      const stillMs = performance.now() - aliveMs;
      if (stillMs < STILL_MS_MAX && performance.now() < endMs) continue;
      const backends = await this.#road.query(BACKENDS).catch((error: unknown) => [{ error: String(error) }]);
      this.violations.push(
        `waited in vain for: ${what}; nothing was written for ${Math.round(stillMs)} ms\n${tail(this.said())}\n${JSON.stringify(backends)}`,
      );
      return;
    }
  }

  async #lastWrite(): Promise<string> {
    return (await this.#road.query<{ last: string }>(LAST_WRITE).catch(() => []))[0]?.last ?? '';
  }

  #start(more: NodeJS.ProcessEnv = {}): Run {
    if (this.#over) throw new Error('the round is over: the program is not started any more');
    this.#sight.reset();
    const run = this.#road.start(this.#args, { ...this.#arms(), ...more });
    this.counts.starts += 1;
    this.#watch(run);
    return run;
  }

  #watch(run: Run): void {
    void run.ended.then((ended) => {
      if (this.#over || this.#doomed.has(run) || run !== this.#current) return;
      if (ended.signal === 'SIGKILL' && ended.stderr.includes('millrace: fail-point'))
        this.#countKill(ended, 'starting');
      else this.#complain('it ended by itself', ended);
      this.#current = this.#start();
    });
  }

  #complain(what: string, { code, signal, stderr }: Ended): void {
    this.violations.push(`${what} with ${signal ?? `code ${code}`}:\n${tail(stderr)}`);
  }
}

function tail(text: string): string {
  return text.split('\n').slice(-12).join('\n');
}
