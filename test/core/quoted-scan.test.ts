// The papaparse path when papaparse is wrong: it may cost time, never a record. A broken parser is planted in its place.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import Papa from 'papaparse';
import { parseWhole } from '../support/parse-harness.ts';

const TEXT = 'k,x,t,n\na,,"o""ne",1\nb,,"t\nwo",2\r\n\nc,,\u00e4"\u00f6,3\n"d"x\ne,,"","5"\nF,,"six",6\n';

interface Answer {
  data: string[][];
  errors: unknown[];
}

const papa: { Parser: unknown } = Papa;
const honest = Papa.Parser;

/** Lets `distort` change every answer of papaparse; returns the number of calls so far. */
function plant(distort: (answer: Answer, text: string) => Answer): () => number {
  let calls = 0;
  papa.Parser = class {
    readonly config: Papa.ParseConfig;

    constructor(config: Papa.ParseConfig) {
      this.config = config;
    }

    parse(text: string): Answer {
      calls += 1;
      return distort(new honest(this.config).parse(text, 0, false) as Answer, text);
    }
  };
  return () => calls;
}

afterEach(() => {
  papa.Parser = honest;
});

const expected = parseWhole(Buffer.from(TEXT), { path: 'bytes' });

test('the example has rows and rejects of every kind', () => {
  assert.deepEqual(
    [expected.rows.length, expected.rejects.map((reject) => reject.code)],
    [3, ['after_quote', 'required', 'uuid']],
  );
});

test('a wrong number of records, of fields, or a reported error makes it go record by record', () => {
  const distortions: ((answer: Answer, text: string) => Answer)[] = [
    ({ data }) => ({ data: data.slice(1), errors: [] }),
    ({ data }) => ({ data: [...data, ['x', 'x', 'x', 'x']], errors: [] }),
    ({ data }) => ({ data: data.map((row) => [...row, 'x']), errors: [] }),
    ({ data }) => ({ data, errors: [{ code: 'InvalidQuotes' }] }),
    (answer, text) => (text.length > 16 ? { data: [], errors: [] } : answer),
  ];
  for (const distort of distortions) {
    const calls = plant(distort);
    assert.deepEqual(parseWhole(Buffer.from(TEXT), { path: 'papaparse' }), expected);
    assert.equal(calls(), 7, 'two calls for many, then one for each of the five records');
  }
});

test('papaparse does the work while it is right', () => {
  const calls = plant((answer) => answer);
  assert.deepEqual(parseWhole(Buffer.from(TEXT), { path: 'papaparse' }), expected);
  assert.equal(calls(), 2);
  plant(({ data, errors }) => ({ data: data.map((row) => row.with(2, 'planted')), errors }));
  assert.notDeepEqual(parseWhole(Buffer.from(TEXT), { path: 'papaparse' }), expected);
});
