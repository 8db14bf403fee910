// Numbers, times and foreign texts as people read them on a terminal. Names of files and words of the database may hold
// anything; what could move the cursor or turn the direction of a line is written out.

/** Control characters, lone surrogates, marks that turn the direction of text, and what ends a line elsewhere. */
const UNPRINTABLE =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

/** The text with everything that does not show as itself written as \xNN or \u{NNNN}. */
export function printable(text: string): string {
  return text.toWellFormed().replace(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const hex = code.toString(16);
    return code < 256 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`;
  });
}

/** 1234567 -> 1,234,567; the same everywhere, whatever the locale. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}

/** 3 -> "3 files", 1 -> "1 file". */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** A time in ms as a short text: 0.84 ms, 12 ms, 3.2 s, 12 min 5 s, 3 h 2 min. */
export function timeText(ms: number): string {
  if (ms < 9.995) return `${ms.toFixed(ms < 0.995 ? 2 : 1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${count(Math.floor(seconds / 3_600))} h ${Math.floor((seconds % 3_600) / 60)} min`;
}

/** Bytes in powers of 1024: 812 B, 3.4 MiB. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [value, unit] = [bytes, 0];
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Terminal columns that a text takes at most: whatever is not ASCII may take two. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += character <= '\u007e' ? 1 : 2;
  return columns;
}

/** The text, cut to so many terminal columns; what was cut is marked with `...`. */
export function fitted(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  let [out, used] = ['', 3];
  for (const character of text) {
    used += columnsOf(character);
    if (used > columns) break;
    out += character;
  }
  return `${out}...`.slice(0, Math.max(0, columns));
}

/** One row of cells per line, in columns; numbers are aligned to the right. */
export function tableText(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((name, i) =>
    Math.max(columnsOf(name), ...rows.map((row) => columnsOf(row[i] ?? ''))),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => {
        const space = ' '.repeat((widths[i] ?? 0) - columnsOf(cell));
        return i === 0 ? cell + space : space + cell;
      })
      .join('  ')
      .trimEnd();
  return [line(header), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}
