// Keeps the program running, as a service manager does, and counts what was done to it. A death that nobody caused is a violation.

import { setTimeout as sleep } from 'node:timers/promises';

import type { Ended, Road, Run } from '../support/road.ts';
import { until } from '../support/road.ts';

const FENCED = 4;

/** For a program that stands still: what its backends are doing. */
const BACKENDS = `SELECT pid, state, wait_event, (clock_timestamp() - query_start)::text AS since, pg_blocking_pids(pid) AS blocked_by, query
  FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`;

export class Supervisor {
  readonly violations: string[] = [];
  readonly counts = { starts: 0, kills: 0, stops: 0, freezes: 0, takeOvers: 0 };
  readonly #road: Road;
  readonly #args: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  /** The one that is meant to work. */
  #current: Run;
  /** Those whose end is somebody's doing. */
  readonly #doomed = new Set<Run>();

  constructor(road: Road, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.#road = road;
    this.#args = args;
    this.#env = env;
    this.#current = this.#start();
  }

  /** kill -9, again after so many milliseconds each; the last start stays. */
  async kill(...againAfterMs: readonly number[]): Promise<void> {
    for (const delayMs of [0, ...againAfterMs]) {
      await sleep(delayMs);
      const run = this.#current;
      this.#doomed.add(run);
      run.child.kill('SIGKILL');
      if ((await run.ended).signal === 'SIGKILL') this.counts.kills += 1;
      this.#current = this.#start();
    }
  }

  /** An orderly end: what is in flight is finished or rolled back within 10 s. */
  async stop(): Promise<void> {
    const run = this.#current;
    this.#doomed.add(run);
    run.child.kill('SIGTERM');
    const begunMs = performance.now();
    const ended = await run.ended;
    this.counts.stops += 1;
    // Asked before its handlers were there, it dies of the signal itself, which is as good.
    if (ended.code !== 0 && ended.code !== 3 && ended.signal !== 'SIGTERM')
      this.#complain('after SIGTERM it ended', ended);
    if (performance.now() - begunMs > 12_000)
      this.violations.push('it took more than 12 s to end after SIGTERM');
  }

  async restart(): Promise<void> {
    await this.stop();
    this.#current = this.#start();
  }

  async freeze(ms: number): Promise<void> {
    this.counts.freezes += 1;
    this.#current.child.kill('SIGSTOP');
    await sleep(ms);
    this.#current.child.kill('SIGCONT');
  }

  /** A second instance on the same folder; one of the two must end with the code of the fenced. `frozenMs`: the first one sleeps meanwhile. */
  async takeOver(frozenMs: number): Promise<void> {
    const older = this.#current;
    this.#doomed.add(older);
    if (frozenMs > 0) older.child.kill('SIGSTOP');
    const younger = this.#start();
    this.#doomed.add(younger);
    if (frozenMs > 0) await sleep(frozenMs);
    older.child.kill('SIGCONT');
    const race = [older, younger].map(async (run) => ({ run, ended: await run.ended }));
    const first = await Promise.race([...race, sleep(60_000, null, { ref: false })]);
    if (first === null) {
      this.violations.push('of two instances none was fenced off within 60 s');
      older.child.kill('SIGKILL');
    } else if (first.ended.code === FENCED) this.counts.takeOvers += 1;
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

  /** Waits for what must become true without further help. */
  async settles(what: string, condition: () => Promise<boolean>, ms: number): Promise<void> {
    try {
      await until(what, condition, ms);
    } catch {
      const backends = await this.#road.query(BACKENDS).catch((error: unknown) => [{ error: String(error) }]);
      this.violations.push(
        `waited ${ms} ms in vain for: ${what}\n${tail(this.said())}\n${JSON.stringify(backends)}`,
      );
    }
  }

  #start(): Run {
    const run = this.#road.start(this.#args, this.#env);
    this.counts.starts += 1;
    this.#watch(run);
    return run;
  }

  #watch(run: Run): void {
    void run.ended.then((ended) => {
      if (this.#doomed.has(run) || run !== this.#current) return;
      this.#complain('it ended by itself', ended);
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
