// What a side of a comparison is: somebody who loads one file into the scratch table. No timing of its own beyond what it is told
// to exclude, and no verification: that is the same for all, in measure.ts.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { environmentOf } from '../environment.ts';
import { endWithUs } from '../interrupt.ts';
import type { Load } from '../load.ts';
import type { Sampler } from '../measure/sampler.ts';
import type { Scratch } from '../scratch.ts';

export const SIDE_NAMES = [
  'live',
  'firstLoad',
  'checkout',
  'copy',
  'copy2',
  'ceiling',
  'pgloader',
  'sparkUsual',
  'sparkTuned',
] as const;

export type SideName = (typeof SIDE_NAMES)[number];

export interface Side {
  readonly name: SideName;
  /** For people, e.g. "copy, two connections". */
  readonly title: string;
  /** Threads that parse, when it has them: what "busy" is measured against. */
  readonly workers: number;
  /** Why it cannot run here, as a sentence; null when it can. */
  absent(): Promise<string | null>;
  /** Once per file, before any round: cutting, encoding. Never measured. */
  prepare(load: Load): Promise<void>;
  /** Brings the side to the start line: nothing until `run` is measured. `run` ends when the last row is committed. */
  open(scratch: Scratch, load: Load): Promise<OpenSide>;
}

export interface OpenSide {
  run(sampler: Sampler): Promise<void>;
  /** After the clock has stopped. */
  close(): Promise<void>;
}

/** Waits for a child to end well. @throws an Error with what it said on standard error */
export function endOf(child: ChildProcess, name: string): Promise<void> {
  let said = '';
  endWithUs(child);
  child.stderr?.setEncoding('utf8').on('data', (part: string) => (said = (said + part).slice(-4000)));
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${name} ended with ${code ?? signal}: ${said.trim()}`));
    });
  });
}

/** A program that is measured from its start to its end. @throws an Error with what it said on standard error */
export async function runWhole(
  name: string,
  [program, ...args]: readonly [string, ...string[]],
  scratch: Scratch,
  sampler: Sampler,
): Promise<void> {
  const child = spawn(program, args, {
    env: environmentOf(scratch.url),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (child.pid !== undefined) sampler.watch(child.pid);
  await endOf(child, name);
}

/** A child that says "ready", waits for a line, works, says "done" and ends: its start-up is not measured. */
export async function openWaiting(child: ChildProcess, name: string): Promise<OpenSide> {
  const ended = endOf(child, name);
  ended.catch(() => undefined); // awaited below, wherever the child stops
  const said = (word: string): Promise<void> => Promise.race([hear(child, word), ended]);
  await said('ready');
  return {
    run: async (sampler) => {
      if (child.pid !== undefined) sampler.watch(child.pid);
      child.stdin?.write('go\n');
      await said('done');
    },
    close: () => ended,
  };
}

function hear(child: ChildProcess, word: string): Promise<void> {
  return new Promise((resolve) => {
    let said = '';
    const listen = (part: Buffer): void => {
      said += part.toString();
      if (!said.split('\n').includes(word)) return;
      child.stdout?.off('data', listen).resume();
      resolve();
    };
    child.stdout?.on('data', listen);
  });
}
