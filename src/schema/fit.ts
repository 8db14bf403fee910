// Does a column that exists take what our binary COPY sends? Decided on the names of types as PostgreSQL's `format_type` prints
// them; no database here.

import type { ColumnType } from './column.ts';

interface NamedType {
  readonly name: string;
  readonly arguments: readonly number[];
}

/** A text type knows more than its SQL says: a closed list of values has a longest one. */
interface Sized {
  readonly codePointsMax: number;
}

/** What `fits` accepts for a column of this type, in words, e.g. `character varying(255) or longer, or text`. */
export function fittingTypes(type: ColumnType): string {
  const wanted = parseType(type.sql);
  switch (wanted.name) {
    case 'character varying': {
      const max = codePointsMax(type, wanted);
      return max === Infinity ? 'character varying or text' : `character varying(${max}) or longer, or text`;
    }
    case 'numeric':
      return `${type.sql} or wider`;
    default:
      return type.sql;
  }
}

/** `existing` as printed by `format_type(atttypid, atttypmod)`. */
export function fits(type: ColumnType, existing: string): boolean {
  if (type.sql === existing) return true;
  const wanted = parseType(type.sql);
  const given = parseType(existing);
  switch (wanted.name) {
    case 'character varying':
      if (given.name === 'text') return true;
      return given.name === wanted.name && (given.arguments[0] ?? Infinity) >= codePointsMax(type, wanted);
    case 'numeric':
      return given.name === wanted.name && isWideEnough(wanted.arguments, given.arguments);
    case 'timestamp without time zone':
      return given.name === wanted.name && given.arguments[0] === 6; // fewer decimals would round
    default:
      return false;
  }
}

/** Wide enough on both sides of the point: numeric(12,4) keeps 8 digits before it, and numeric(12,2) needs 10. */
function isWideEnough(wanted: readonly number[], given: readonly number[]): boolean {
  const [precision, scale = 0] = given;
  if (precision === undefined) return true;
  const [wantedPrecision = Infinity, wantedScale = 0] = wanted;
  return scale >= wantedScale && precision - scale >= wantedPrecision - wantedScale;
}

function codePointsMax(type: ColumnType | (ColumnType & Sized), wanted: NamedType): number {
  return 'codePointsMax' in type ? type.codePointsMax : (wanted.arguments[0] ?? Infinity);
}

/** `numeric(12,2)` -> numeric, [12, 2]. The argument of `timestamp(3) without time zone` stands in the middle. */
function parseType(text: string): NamedType {
  const match = /^([^()]*)\(([-\d,]+)\)(.*)$/.exec(text);
  if (match === null) return { name: text, arguments: [] };
  return { name: `${match[1]}${match[3]}`, arguments: match[2]!.split(',').map(Number) };
}
