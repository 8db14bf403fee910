// The decisions that rest on nothing but values: which content is this file, when is it final, what do people see of its name.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { DEFAULT_DIALECT } from '../../src/core/booked-dialect.ts';
import type { FileState, KnownGeneration } from '../../src/core/books.ts';
import type { Reject } from '../../src/core/reject.ts';
import type { FileStamp, GenerationId } from '../../src/core/slice.ts';
import { isFinal, isStill } from '../../src/source/finality.ts';
import { identify } from '../../src/source/identity.ts';
import type { Content, Identity } from '../../src/source/identity.ts';
import { nameFilter, printableName } from '../../src/source/names.ts';
import { placeRejects } from '../../src/source/rejects.ts';
import { changeBetween } from '../../src/source/stamp.ts';

const STAMP: FileStamp = { dev: 1n, ino: 7n, birthNs: 100n, size: 50, mtimeNs: 200n, ctimeNs: 300n };

interface Case {
  readonly what: string;
  readonly file?: Partial<FileStamp>;
  readonly name?: string;
  readonly known: readonly {
    id?: string;
    state?: FileState;
    name?: string;
    stamp?: Partial<FileStamp>;
    end?: number;
    order?: number;
  }[];
  readonly content?: Content;
  readonly expected: string;
}

function decide(one: Case): Identity {
  const candidates = one.known.map((known): KnownGeneration => {
    const stamp = { ...STAMP, ...known.stamp };
    const nameBytes = Buffer.from(known.name ?? 'a.csv');
    const state = known.state ?? 'reading';
    const { size, mtimeNs, ctimeNs } = stamp;
    return {
      info: {
        id: (known.id ?? 'g') as GenerationId,
        name: '',
        nameBytes,
        stamp,
        replaces: null,
        dialect: DEFAULT_DIALECT,
      },
      state,
      reason: null,
      ended: state === 'reading' ? null : { size, mtimeNs, ctimeNs },
      slices: [{ start: 0, end: known.end ?? 50, firstLine: 1, lines: 1, crc: 0, head: null }],
      records: 0,
      rejected: 0,
      blankLines: 0,
      resumed: false,
      order: known.order ?? 0,
    };
  });
  const file = { nameBytes: Buffer.from(one.name ?? 'a.csv'), stamp: { ...STAMP, ...one.file } };
  return identify(file, candidates, one.content ?? 'unread');
}

function sentence(identity: Identity): string {
  switch (identity.kind) {
    case 'new':
      return `new, replaces ${identity.replaces}${identity.warning === null ? '' : ', warning'}`;
    case 'settled':
      return `settled ${identity.known.info.id}`;
    case 'continue':
      return `continue ${identity.known.info.id}${identity.moved ? ', moved' : ''}`;
    case 'compare':
      return `compare ${identity.what} of ${identity.known.info.id}`;
    default:
      return identity satisfies never;
  }
}

const GROWN = { size: 60, mtimeNs: 201n, ctimeNs: 301n };
const TOUCHED = { mtimeNs: 201n, ctimeNs: 301n };
const RENAMED = { ctimeNs: 301n };

const CASES: readonly Case[] = [
  { what: 'never seen', known: [], expected: 'new, replaces null' },
  { what: 'done and unchanged', known: [{ state: 'done' }], expected: 'settled g' },
  { what: 'done and grown', file: GROWN, known: [{ state: 'done' }], expected: 'compare ends of g' },
  {
    what: 'done and grown, same',
    file: GROWN,
    known: [{ state: 'done' }],
    content: 'same',
    expected: 'continue g',
  },
  { what: 'done and touched', file: TOUCHED, known: [{ state: 'done' }], expected: 'compare all of g' },
  {
    what: 'done, only the ctime moved',
    file: RENAMED,
    known: [{ state: 'done' }],
    expected: 'compare all of g',
  },
  {
    what: 'touched, same',
    file: TOUCHED,
    known: [{ state: 'done' }],
    content: 'same',
    expected: 'continue g',
  },
  {
    what: 'overwritten',
    file: TOUCHED,
    known: [{ state: 'done' }],
    content: 'other',
    expected: 'new, replaces g, warning',
  },
  { what: 'cut short', file: { size: 10 }, known: [{ state: 'done' }], expected: 'new, replaces g, warning' },
  { what: 'half read', file: GROWN, known: [{}], expected: 'compare ends of g' },
  { what: 'read to its end, not yet done', file: TOUCHED, known: [{}], expected: 'compare all of g' },
  { what: 'half read, same', file: GROWN, known: [{}], content: 'same', expected: 'continue g' },
  {
    what: 'half read, other',
    file: GROWN,
    known: [{}],
    content: 'other',
    expected: 'new, replaces g, warning',
  },
  { what: 'renamed', name: 'b.csv', file: RENAMED, known: [{ state: 'done' }], expected: 'compare all of g' },
  {
    what: 'renamed, same',
    name: 'b.csv',
    file: RENAMED,
    known: [{ state: 'done' }],
    content: 'same',
    expected: 'continue g, moved',
  },
  {
    what: 'inode reused, births unknown',
    name: 'b.csv',
    file: { birthNs: null },
    known: [{}],
    content: 'other',
    expected: 'new, replaces g',
  },
  {
    what: 'inode reused under a known name',
    name: 'b.csv',
    known: [{}, { id: 'b', name: 'b.csv', stamp: { ino: 8n } }],
    content: 'other',
    expected: 'new, replaces b',
  },
  {
    what: 'inode reused, other birth',
    name: 'b.csv',
    file: { birthNs: 101n },
    known: [{ state: 'done' }],
    expected: 'new, replaces g',
  },
  {
    what: 'sent again on a new inode',
    file: { ino: 8n },
    known: [{ state: 'done' }],
    expected: 'new, replaces g',
  },
  {
    what: 'sent again on the same inode',
    file: { birthNs: 101n },
    known: [{ state: 'done' }],
    expected: 'new, replaces g',
  },
  {
    what: 'another device, all the same',
    file: { dev: 2n },
    known: [{ state: 'done' }],
    expected: 'settled g',
  },
  {
    what: 'another device, no births',
    file: { dev: 2n, birthNs: null },
    known: [{ state: 'done' }],
    expected: 'compare all of g',
  },
  { what: 'another device, half read', file: { dev: 2n }, known: [{}], expected: 'compare all of g' },
  {
    what: 'another device, same',
    file: { dev: 2n },
    known: [{}],
    content: 'same',
    expected: 'continue g, moved',
  },
  {
    what: 'another device, other',
    file: { dev: 2n },
    known: [{}],
    content: 'other',
    expected: 'new, replaces g',
  },
  {
    what: 'another device and name',
    name: 'b.csv',
    file: { dev: 2n },
    known: [{}],
    expected: 'new, replaces null',
  },
  { what: 'refused, unchanged', file: RENAMED, known: [{ state: 'refused' }], expected: 'settled g' },
  { what: 'undone, unchanged', file: RENAMED, known: [{ state: 'undone' }], expected: 'settled g' },
  {
    what: 'undone, delivered anew',
    file: TOUCHED,
    known: [{ state: 'undone' }],
    expected: 'new, replaces g',
  },
  { what: 'refused, mended', file: TOUCHED, known: [{ state: 'refused' }], expected: 'new, replaces g' },
  { what: 'parked, unchanged', file: RENAMED, known: [{ state: 'parked' }], expected: 'settled g' },
  { what: 'parked and grown', file: GROWN, known: [{ state: 'parked' }], expected: 'compare ends of g' },
  {
    what: 'parked, its producer goes on',
    file: GROWN,
    known: [{ state: 'parked' }],
    content: 'same',
    expected: 'settled g',
  },
  {
    what: 'parked, mended and longer',
    file: GROWN,
    known: [{ state: 'parked' }],
    content: 'other',
    expected: 'new, replaces g, warning',
  },
  {
    what: 'parked, mended in place',
    file: TOUCHED,
    known: [{ state: 'parked' }],
    expected: 'new, replaces g, warning',
  },
  {
    what: 'parked, on another device',
    file: { dev: 2n },
    known: [{ state: 'parked' }],
    expected: 'settled g',
  },
  {
    what: 'several of one inode',
    known: [
      { id: 'old', state: 'done' },
      { id: 'new', state: 'done', order: 1 },
    ],
    expected: 'settled new',
  },
];

for (const one of CASES) {
  test(`identity: ${one.what}`, () => {
    assert.equal(sentence(decide(one)), one.expected);
  });
}

test('what is committed is never skipped or believed without a comparison when anything but the place differs', () => {
  const small = fc.bigInt({ min: 1n, max: 2n });
  const stamps = fc.record({
    dev: small,
    ino: small,
    birthNs: fc.option(small),
    size: fc.integer({ min: 40, max: 60 }),
    mtimeNs: small,
    ctimeNs: small,
  });
  fc.assert(
    fc.property(stamps, stamps, fc.constantFrom<FileState>('reading', 'done'), (file, stamp, state) => {
      const identity = decide({ what: '', file, known: [{ state, stamp, end: stamp.size }], expected: '' });
      const equal =
        file.size === stamp.size && file.mtimeNs === stamp.mtimeNs && file.ctimeNs === stamp.ctimeNs;
      if (identity.kind === 'settled') assert.ok(equal && state === 'done' && file.ino === stamp.ino);
      assert.notEqual(identity.kind, 'continue');
    }),
  );
});

test('a file is final by what was seen of it, and --once does not wait for one that grew', () => {
  const rule = { once: false, settleMs: 1000, settleGrowingMs: 600_000 };
  const after = (ms: number, grew: boolean): { sinceMs: number; lookedMs: number; grew: boolean } => ({
    sinceMs: 5,
    lookedMs: 5 + ms,
    grew,
  });
  assert.equal(isFinal(after(999, false), rule), false);
  assert.equal(isFinal(after(1000, false), rule), true);
  assert.equal(isFinal(after(599_999, true), rule), false);
  assert.equal(isFinal(after(600_000, true), rule), true);
  assert.equal(isFinal(after(1000, true), { ...rule, once: true }), true);
  assert.equal(isFinal(after(999, true), { ...rule, once: true }), false);
  assert.equal(isStill(after(1000, true), rule), true);
});

test('two looks at one path tell growth, cuts, touches and another file apart', () => {
  const change = (after: Partial<FileStamp>): string => changeBetween(STAMP, { ...STAMP, ...after });
  assert.equal(change({}), 'none');
  assert.equal(change(GROWN), 'grown');
  assert.equal(change({ size: 49 }), 'shrunk');
  assert.equal(change(TOUCHED), 'rewritten');
  assert.equal(change(RENAMED), 'handled');
  assert.equal(change({ ino: 8n }), 'replaced');
  assert.equal(change({ birthNs: 99n }), 'replaced');
  assert.equal(change({ birthNs: null }), 'none');
});

test('hidden, temporary and backup names never match; case counts', () => {
  const accepts = nameFilter(['*.csv', 'export-[0-9]*']);
  const taken = ['a.csv', '[table].csv', 'new\nline.csv', 'export-7', '.csv.csv'].filter(accepts);
  assert.deepEqual(taken, ['a.csv', '[table].csv', 'new\nline.csv', 'export-7']);
  for (const name of [
    '.a.csv',
    'a.csv.tmp',
    'a.csv.part',
    'a.csv~',
    'a.CSV',
    'csv',
    'export-x',
    'export-7~',
  ]) {
    assert.equal(accepts(name), false, name);
  }
});

test('a printed name has no control characters, and different names print differently', () => {
  assert.equal(printableName(Buffer.from('käse €.csv')), 'käse €.csv');
  assert.equal(printableName(Buffer.from('a\nb\\\u202e.csv')), 'a\\x0ab\\x5c\\xe2\\x80\\xae.csv');
  assert.equal(printableName(Buffer.from([0x61, 0xff, 0x5c])), 'a\\xff\\x5c');
  const names = fc.uint8Array({ minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(names, names, (a, b) => {
      if (Buffer.compare(a, b) !== 0) assert.notEqual(printableName(a), printableName(b));
      // oxlint-disable-next-line no-control-regex -- that is what must not be there
      assert.doesNotMatch(printableName(a), /[\u0000-\u001f\u007f-\u009f]/u);
    }),
  );
});

test('rejects beyond the limit of a file become one entry that counts them all', () => {
  const reject = (offset: number, code: Reject['code'], count = 1): Reject => ({
    offset,
    rawLength: 5,
    line: offset / 10,
    field: null,
    column: null,
    code,
    sentence: '',
    raw: null,
    records: count,
  });
  const list = [reject(0, 'too_few_fields'), reject(10, 'nul_byte'), reject(20, 'more_rejects', 7)];
  assert.deepEqual(
    placeRejects(list, 100, 5).map(({ line, records: count }) => [line, count]),
    [
      [100, 1],
      [101, 1],
      [102, 7],
    ],
  );
  const merged = placeRejects(list, 100, 1);
  assert.deepEqual(
    merged.map(({ offset, rawLength, code, records: count }) => [offset, rawLength, code, count]),
    [
      [0, 5, 'too_few_fields', 1],
      [10, 15, 'more_rejects', 8],
    ],
  );
  assert.deepEqual(
    placeRejects(list, 1, -3).map(({ records: count }) => count),
    [9],
  );
  assert.deepEqual(placeRejects([], 1, -3), []);
});
