// The header as the options say it is written, and the sentence for a file that is written otherwise: wrong guesses are never silent,
// and a refusal names the option that would read the file. What a header is stands in header.ts.

import type { TableDefinition } from '../schema/table.ts';
import { delimiterText, delimiterWord, isDelimiter } from './delimiter.ts';
import type { Header, HeaderResult } from './header.ts';
import { firstLine, readHeader, shown } from './header.ts';
import { CR, LF } from './record.ts';
import type { Dialect } from './slice.ts';

/** How much of the first line is tried with other delimiters. */
const HINT_BYTES_MAX = 4096;

/** `readHeader` in a dialect. A header that would be one with another delimiter or other line ends is refused as `wrong_dialect`. */
export function findHeader(
  bytes: Buffer,
  final: boolean,
  table: TableDefinition,
  dialect: Dialect,
): HeaderResult {
  const newline = dialect.newline === 'cr' ? CR : LF;
  const delimiter = dialect.delimiter?.charCodeAt(0) ?? null;
  const result = readHeader(bytes, final, table, newline, delimiter);
  if (result.kind === 'header' ? !isOddHeader(bytes, result.header, newline) : !isOddRefusal(result))
    return result;
  const reason =
    newlineHint(bytes, final, table, newline, delimiter) ??
    (result.kind === 'header' ? null : delimiterHint(bytes, final, table, newline, delimiter));
  return reason === null ? result : { kind: 'refused', code: 'wrong_dialect', reason };
}

function isOddRefusal(result: HeaderResult): boolean {
  return (
    result.kind === 'refused' &&
    ['bad_header', 'missing_column', 'duplicate_column', 'header_too_large'].includes(result.code)
  );
}

/** The other line end within the header, or behind it: a whole file may have been taken for its header. */
function isOddHeader(bytes: Buffer, header: Header, newline: number): boolean {
  if (newline === CR) return bytes[header.end] === LF || bytes.subarray(0, header.end).includes(LF);
  let at = bytes.subarray(0, header.end).indexOf(CR);
  if (at < 0) return false;
  while (bytes[at] === CR) at += 1;
  return at < header.end && bytes[at] !== LF;
}

/** The sentence that names the option when this is a header with the other line ends. */
function newlineHint(
  bytes: Buffer,
  final: boolean,
  table: TableDefinition,
  newline: number,
  delimiter: number | null,
): string | null {
  const other = newline === LF ? CR : LF;
  const result = readHeader(bytes, final, table, other, delimiter);
  if (result.kind !== 'header') return null;
  const { end } = result.header;
  // Not the end of the file, and not one half of CR LF.
  if (bytes[end - 1] !== other || (other === CR && bytes[end] === LF)) return null;
  return newline === LF
    ? 'its lines end with CR alone, as old Macs wrote them: read it with --newline cr'
    : 'its lines end with LF or CR LF: read it with --newline lf';
}

/** The same with another delimiter, any that the first line holds. */
function delimiterHint(
  bytes: Buffer,
  final: boolean,
  table: TableDefinition,
  newline: number,
  delimiter: number | null,
): string | null {
  const line = bytes.subarray(0, Math.min(firstLine(bytes, 0, newline), HINT_BYTES_MAX));
  const first = line.toString('latin1').trim();
  if (/^(\xef\xbb\xbf)?sep=.$/i.test(first))
    return `its first line is ${shown(first)}, a hint for spreadsheets: remove that line; the delimiter is found without it`;
  const marks = [...new Set(line)].filter((byte) => isDelimiter(byte) && byte !== delimiter);
  const found = marks.find((mark) => readHeader(bytes, final, table, newline, mark).kind === 'header');
  if (found === undefined) return null;
  return `its columns are separated by ${delimiterText(found)}: read it with --delimiter ${delimiterWord(found)}`;
}
