// What committed slices say became of their records, held against the table: which rows must be there, by which transactions, and how
// many of each. Numbers instead of texts, since a round has hundreds of thousands of records.

import type { Road } from '../support/road.ts';
import { uuidOf } from '../support/events.ts';
import type { Slice } from './books.ts';
import { eachRow } from './books.ts';
import { VARIANTS, storedRow } from './content.ts';

type Violate = (text: string) => void;

export class Ledger {
  /** Event and payload, as one number, -> the transactions that may have stored it. */
  readonly #transactions = new Map<number, number | number[]>();
  readonly #optional = new Set<number>();
  readonly #conflicting = new Set<number>();
  readonly #numbers = new Set<number>();

  /** A good record of a committed slice. */
  add(number: number, variant: number, xids: readonly number[]): void {
    this.#numbers.add(number);
    const known = this.#transactions.get(number * VARIANTS + variant);
    const [only] = xids;
    if (known === undefined && only !== undefined && xids.length === 1)
      this.#transactions.set(number * VARIANTS + variant, only);
    else if (known !== only || xids.length > 1)
      this.#transactions.set(number * VARIANTS + variant, [...new Set([known ?? [], xids].flat())]);
  }

  /** A record that the database might have refused and did not: its key must be stored, by any other record. */
  addOptional(number: number): void {
    this.#optional.add(number);
  }

  /** A record that was called a duplicate with other values than the stored ones. */
  addConflict(number: number, variant: number): void {
    this.#conflicting.add(number * VARIANTS + variant);
  }

  /** Reads the table. Returns the number of its rows, and per transaction. */
  async holdAgainst(
    road: Road,
    violate: Violate,
  ): Promise<{ stored: number; byTransaction: Map<number, number> }> {
    const numberOf = new Map([...this.#numbers, ...this.#optional].map((number) => [uuidOf(number), number]));
    const there = new Set<number>();
    const byTransaction = new Map<number, number>();
    let stored = 0;
    await eachRow(road, ({ key, text, xmin }) => {
      stored += 1;
      byTransaction.set(xmin, (byTransaction.get(xmin) ?? 0) + 1);
      const number = numberOf.get(key);
      if (number !== undefined && there.has(number)) violate(`${key} is stored twice`);
      if (number !== undefined) there.add(number);
      this.#judgeRow(number, key, text, xmin, violate);
    });
    for (const number of this.#numbers)
      if (!there.has(number))
        violate(`${uuidOf(number)} stands in a committed slice and is not stored: a loss`);
    for (const number of this.#optional)
      if (!there.has(number)) violate(`${uuidOf(number)} was called a duplicate and is not stored: a loss`);
    return { stored, byTransaction };
  }

  #judgeRow(number: number | undefined, key: string, text: string, xmin: number, violate: Violate): void {
    const variants = Array.from({ length: number === undefined ? 0 : VARIANTS }, (_, index) => index);
    const mine = variants.find(
      (variant) =>
        this.#transactions.has(number! * VARIANTS + variant) && storedRow(number!, variant) === text,
    );
    if (number === undefined || mine === undefined) {
      violate(`the row of ${key} stands in no committed slice: ${text}`);
      return;
    }
    const xids = [this.#transactions.get(number * VARIANTS + mine) ?? []].flat();
    if (!xids.includes(xmin))
      violate(`the row of ${key} was stored by transaction ${xmin}, its slices by ${xids.join(', ')}`);
    if (this.#conflicting.has(number * VARIANTS + mine))
      violate(`${key} was called a duplicate with other values than the stored ones, and is what is stored`);
  }
}

/** Rows of a transaction = what the slices of that transaction say was inserted. Merged slices tie transactions together. */
export function checkTransactions(
  slices: readonly Slice[],
  byTransaction: ReadonlyMap<number, number>,
  violate: Violate,
): void {
  const parent = new Map<number, number>();
  const find = (xid: number): number => {
    let root = xid;
    for (let next = parent.get(root); next !== undefined && next !== root; next = parent.get(root))
      root = next;
    return root;
  };
  for (const { xids } of slices) for (const xid of xids) parent.set(find(xid), find(xids[0] ?? xid));
  const [booked, stored] = [new Map<number, number>(), new Map<number, number>()];
  const add = (sums: Map<number, number>, xid: number, count: number): void =>
    void sums.set(find(xid), (sums.get(find(xid)) ?? 0) + count);
  for (const { xids, inserted } of slices) add(booked, xids[0] ?? -1, inserted);
  for (const [xid, count] of byTransaction) add(stored, xid, count);
  for (const xid of new Set([...booked.keys(), ...stored.keys()]))
    if ((booked.get(xid) ?? 0) !== (stored.get(xid) ?? 0))
      violate(`transaction ${xid}: ${booked.get(xid) ?? 0} rows booked, ${stored.get(xid) ?? 0} stored`);
}
