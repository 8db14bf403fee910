// The splitter: what a record is, what a malformed one costs, and that the work is linear (by counting bytes looked at).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Splitter } from '../../src/core/record.ts';
import { CR, createSplitter, LF, scanRecord } from '../../src/core/record.ts';
import { RECORD_BYTES_MAX } from '../../src/core/slice.ts';

const COMMA = 0x2c;

/** One line per record: `fault` or `ok`, its content, physical lines. */
function split(
  bytes: Buffer,
  fields: number,
  splitter = createSplitter(COMMA, LF, fields),
  final = true,
): string[] {
  const found: string[] = [];
  let position = 0;
  for (;;) {
    const outcome = scanRecord(splitter, bytes, position, final);
    if (outcome === 'end') return found;
    if (outcome === 'open') {
      const state = splitter.endless ? 'endless' : splitter.openQuote ? 'open_quote' : 'unterminated';
      return [...found, `open ${state} ${JSON.stringify(bytes.toString('latin1', position))}`];
    }
    const content = JSON.stringify(bytes.toString('latin1', position, splitter.contentEnd));
    const name = outcome === 'fault' ? splitter.fault : outcome;
    found.push(`${name} ${content} ${splitter.lines}`);
    assert.ok(splitter.next > position, 'the splitter moves on');
    position = splitter.next;
  }
}

const splitText = (text: string, fields = 2, final = true): string[] =>
  split(Buffer.from(text, 'latin1'), fields, undefined, final);

test('line ends: LF, CRLF and mixed end records; a bare CR, a second CR and other breaks are data', () => {
  assert.deepEqual(splitText('a,b\nc,d\r\ne,f\r\r\ng\x0b,\rh\n\ri,j'), [
    'record "a,b" 1',
    'record "c,d" 1',
    'record "e,f\\r" 1',
    'record "g\\u000b,\\rh" 1',
    'record "\\ri,j" 1',
  ]);
});

test('the end of a final file ends a record, with or without a CR', () => {
  assert.deepEqual(splitText('a,b\r'), ['record "a,b" 1']);
  assert.deepEqual(splitText('a,"b"\r'), ['record "a,\\"b\\"" 1']);
  assert.deepEqual(splitText('a,"b"'), ['record "a,\\"b\\"" 1']);
  assert.deepEqual(splitText('a,'), ['record "a," 1']);
  assert.deepEqual(splitText('\r'), ['blank "" 1']);
});

test('quotes: newlines, delimiters and escapes inside; a quote inside an unquoted field is data', () => {
  assert.deepEqual(splitText('"a\n,""b","c\r\nd"\r\n5" pipe,x"y"\n"",""\n'), [
    'record "\\"a\\n,\\"\\"b\\",\\"c\\r\\nd\\"" 3',
    'record "5\\" pipe,x\\"y\\"" 1',
    'record "\\"\\",\\"\\"" 1',
  ]);
});

test('junk after a closing quote costs one line and the next is intact', () => {
  assert.deepEqual(splitText('"a"x,b\nc,d\n"e" ,f\ng,h\n"i"\r,j\n'), [
    'after_quote "\\"a\\"x,b" 1',
    'record "c,d" 1',
    'after_quote "\\"e\\" ,f" 1',
    'record "g,h" 1',
    'after_quote "\\"i\\"\\r,j" 1',
  ]);
});

test('an unclosed quote costs its first line only', () => {
  assert.deepEqual(splitText('a,"b\nc,d\ne,f\n'), [
    'unclosed_quote "a,\\"b" 1',
    'record "c,d" 1',
    'record "e,f" 1',
  ]);
  assert.deepEqual(splitText('a,"b\r\nc,d'), ['unclosed_quote "a,\\"b" 1', 'record "c,d" 1']);
  assert.deepEqual(splitText('a,"'), ['unclosed_quote "a,\\"" 1']);
});

test('a wrong number of fields costs one line, also in a record of several', () => {
  assert.deepEqual(splitText('a\n"b\nc"\nd,e,f\n"g\nh",i,j\n'), [
    'too_few_fields "a" 1',
    'too_few_fields "\\"b" 1',
    'too_few_fields "c\\"" 1',
    'too_many_fields "d,e,f" 1',
    'too_many_fields "\\"g" 1',
    'too_many_fields "h\\",i,j" 1',
  ]);
});

test('blank lines are blank also under a header of one column', () => {
  assert.deepEqual(splitText('\n\r\na\n""\n', 1), [
    'blank "" 1',
    'blank "" 1',
    'record "a" 1',
    'record "\\"\\"" 1',
  ]);
});

test('CR-only files: CR ends a record, LF is data', () => {
  const splitter = createSplitter(COMMA, CR, 2);
  assert.deepEqual(split(Buffer.from('a,b\r\rc,"d\re"\rf,g\nh\r"i"\n,j\r'), 2, splitter), [
    'record "a,b" 1',
    'blank "" 1',
    'record "c,\\"d\\re\\"" 2',
    'record "f,g\\nh" 1',
    'after_quote "\\"i\\"\\n,j" 1',
  ]);
});

test('in a growing file only what more bytes cannot change is decided', () => {
  assert.deepEqual(splitText('a,b\nc', 2, false), ['record "a,b" 1', 'open unterminated "c"']);
  assert.deepEqual(splitText('a,"b\nc', 2, false), ['open open_quote "a,\\"b\\nc"']);
  assert.deepEqual(splitText('"a"', 2, false), ['open unterminated "\\"a\\""']);
  assert.deepEqual(splitText('"a"\r', 2, false), ['open unterminated "\\"a\\"\\r"']);
  assert.deepEqual(splitText('\r', 2, false), ['open unterminated "\\r"']);
  assert.deepEqual(splitText('"a"x\nb,c', 2, false), ['after_quote "\\"a\\"x" 1', 'open unterminated "b,c"']);
  assert.deepEqual(splitText('"a\nb"x', 2, false), ['after_quote "\\"a" 1', 'open unterminated "b\\"x"']);
  assert.deepEqual(splitText('"a"x', 2, false), ['open unterminated "\\"a\\"x"']);
});

test('a record of exactly 1 MiB is taken, one byte more is too large, however the bytes end', () => {
  const line = (length: number): string => `${'a'.repeat(length - 2)},b`;
  for (const end of ['\nc,d\n', '']) {
    assert.match(splitText(line(RECORD_BYTES_MAX) + end)[0]!, /^record /);
    const tooLong = splitText(line(RECORD_BYTES_MAX + 1) + end);
    assert.match(tooLong[0]!, /^record_too_large /);
    assert.equal(tooLong.length, end === '' ? 1 : 2);
  }
});

test('a quoted record over 1 MiB costs its first line; a line over 1 MiB without an end waits for it', () => {
  const quoted = `a,"b\n${'x,y\n'.repeat(RECORD_BYTES_MAX / 4)}`;
  for (const final of [true, false])
    assert.deepEqual(splitText(quoted, 2, final).slice(0, 2), [
      'record_too_large "a,\\"b" 1',
      'record "x,y" 1',
    ]);
  const long = 'a'.repeat(RECORD_BYTES_MAX + 1);
  assert.match(splitText(long, 2, false)[0]!, /^open endless/);
  assert.match(splitText(`"${long}`, 2, false)[0]!, /^open endless/);
  assert.match(splitText(`"a"${long}`, 2, false)[0]!, /^open endless/);
  assert.match(splitText(long.slice(1), 2, false)[0]!, /^open unterminated/);
});

/** The same, forgetting between records what earlier scans saw. */
function splitForgetful(bytes: Buffer, fields: number): string[] {
  const remembering = createSplitter(COMMA, LF, fields);
  const fresh = (): Splitter => createSplitter(COMMA, LF, fields);
  const forgetful = new Proxy(remembering, {
    get: (target, name) => (name === 'trace' ? fresh().trace : Reflect.get(target, name)),
  });
  return split(bytes, fields, forgetful);
}

test('what is remembered of a malformed record changes no result', () => {
  const pieces = ['a', ',', ',', '"', '"', '""', '\n', '\r\n', 'a",b"x,"c\n', '",', ',"'];
  const bytes = fc
    .array(fc.constantFrom(...pieces), { maxLength: 60 })
    .map((list) => Buffer.from(list.join('')));
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1, max: 9 }), (input, fields) => {
      assert.deepEqual(split(input, fields), splitForgetful(input, fields));
    }),
    { numRuns: 5000 },
  );
});

/** Input -> header's fields. Each is made of lines that begin a record which swallows the lines after it. */
const WORST: readonly (readonly [string, number])[] = [
  ['a",b"x,"c\n', 7],
  ['a",b"x,"c\n', 100_000],
  ['"\n', 7],
  ['"', 7],
  ['"""\n', 7],
  ['x,"\n', 100_000],
  ['"a"x\n', 7],
  [',",\n', 5000],
  ['"a",', 7],
  [',', 7],
  ['\0', 7],
  ['"a\n\n\n\n\n\n\n\n', 7],
  ['\r', 7],
  ['",\n,"a', 100_000],
];

function examinedOf(piece: string, fields: number, length: number): number {
  const splitter = createSplitter(COMMA, LF, fields);
  const bytes = Buffer.alloc(length, piece, 'latin1');
  let position = 0;
  while (scanRecord(splitter, bytes, position, true) !== 'end') position = splitter.next;
  return splitter.examined;
}

test('the work is linear on the worst inputs: at ten times the size ten times the bytes looked at', () => {
  for (const [piece, fields] of WORST) {
    const small = examinedOf(piece, fields, 300_000);
    const large = examinedOf(piece, fields, 3_000_000);
    const name = `${JSON.stringify(piece)} under ${fields} columns`;
    assert.ok(large <= small * 11, `${name}: ${small} bytes, then ${large}`);
    assert.ok(large <= 3_000_000 * 8, `${name}: every byte is looked at ${large / 3_000_000} times`);
  }
});
