// The type `text`: character varying, with or without a limit in code points, or a closed list of values. The bytes must be
// valid UTF-8 without NUL; that is a property of the whole record and is checked where records are read, not here.

import type { ColumnType, FieldWriter } from '../column.ts';
import { putInt32, writeInt32 } from './write.ts';

/** Up to here a loop beats `set(subarray())`, which allocates a view. */
const LOOP_BYTES_MAX = 64;

/** The longest sequence of UTF-8. */
const CODE_POINT_BYTES_MAX = 4;

export interface TextOptions {
  /** Most code points, as PostgreSQL counts `character varying(n)`. */
  readonly max?: number;
  /** The only values allowed, compared byte by byte. */
  readonly oneOf?: readonly string[];
}

export interface TextType extends ColumnType {
  /** No value that passes is longer; a table that exists needs room for this much (schema/fit.ts). */
  readonly codePointsMax: number;
}

/** Text of any content; empty is NULL, never ''. */
export function text(options: TextOptions = {}): TextType {
  const { max = Infinity, oneOf } = options;
  return {
    rule: { kind: 'text', max: options.max ?? null, oneOf: oneOf ?? null },
    codePointsMax: oneOf === undefined ? max : Math.max(...oneOf.map((value) => Array.from(value).length)),
    sql: max === Infinity ? 'character varying' : `character varying(${max})`,
    grammar: grammarOf(options),
    oid: 1043,
    encode: oneOf === undefined ? encodeAny(max) : encodeListed(oneOf, max),
    sample: (random) =>
      oneOf ? oneOf[random.below(oneOf.length)]! : `text_${random.below(1000)}`.slice(0, max),
  };
}

function grammarOf({ max, oneOf }: TextOptions): string {
  if (oneOf !== undefined) return `one of ${oneOf.join(', ')}`;
  return max === undefined ? 'any text' : `any text of up to ${max} characters (code points)`;
}

function encodeAny(max: number): ColumnType['encode'] {
  return (source, start, end, out) => {
    const length = end - start;
    if (length > max && tooLong(source, start, end, max)) return 'too_long';
    writeInt32(out, length);
    copyBytes(source, start, end, out);
    return null;
  };
}

function tooLong(source: Uint8Array, start: number, end: number, max: number): boolean {
  if (end - start > max * CODE_POINT_BYTES_MAX) return true;
  let codePoints = 0;
  for (let at = start; at < end; at += 1) if ((source[at]! & 0xc0) !== 0x80) codePoints += 1;
  return codePoints > max;
}

function copyBytes(source: Uint8Array, start: number, end: number, out: FieldWriter): void {
  const { bytes, position } = out;
  if (end - start > LOOP_BYTES_MAX) bytes.set(source.subarray(start, end), position);
  else for (let at = start; at < end; at += 1) bytes[position + at - start] = source[at]!;
  out.position = position + end - start;
}

/** Finds the value among those of its length, so that one comparison is the rule. */
function encodeListed(oneOf: readonly string[], max: number): ColumnType['encode'] {
  const values = oneOf.map((value) => new TextEncoder().encode(value));
  if (values.some((value) => value.length === 0 || tooLong(value, 0, value.length, max)))
    throw new TypeError('text: a listed value is empty or longer than the column');
  const lengthMax = Math.max(...values.map((value) => value.length));
  const byLength = Array.from({ length: lengthMax + 1 }, (_, length) =>
    values.filter((value) => value.length === length),
  );
  return (source, start, end, out) => {
    const length = end - start;
    if (length > lengthMax) return 'not_listed';
    const candidates = byLength[length]!;
    for (let index = 0; index < candidates.length; index += 1)
      if (writeIfEqual(candidates[index]!, source, start, out)) return null;
    return 'not_listed';
  };
}

function writeIfEqual(value: Uint8Array, source: Uint8Array, start: number, out: FieldWriter): boolean {
  const { bytes, position } = out;
  const length = value.length;
  for (let index = 0; index < length; index += 1) {
    const byte = source[start + index]!;
    if (byte !== value[index]) return false;
    bytes[position + 4 + index] = byte;
  }
  putInt32(bytes, position, length);
  out.position = position + 4 + length;
  return true;
}
