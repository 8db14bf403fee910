// What the documents for people claim about the code, taken out of their text; and the tables that are rendered from the code into
// them. Not for judging style, and not for what a program prints: that is tried by hand.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

import { REJECT_SENTENCES } from '../../src/core/reject.ts';
import { FILE_FAULTS } from '../../src/core/slice.ts';
import { optionsAsMarkdown } from '../../src/options/help.ts';
import { events } from '../../src/schema/events.ts';
import type { TableDefinition } from '../../src/schema/table.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export const DOCUMENTS = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'BENCHMARKS.md',
] as const;

/** Between `<!-- name -->` and `<!-- /name -->` in README.md: tables that nobody writes by hand. */
export const RENDERED: Readonly<Record<string, () => string>> = {
  options: optionsAsMarkdown,
  columns: () => columnsAsMarkdown(events),
  rejects: () => codesAsMarkdown(REJECT_SENTENCES),
  refusals: () => codesAsMarkdown(FILE_FAULTS),
};

export function readDocument(name: string): string {
  return readFileSync(join(ROOT, name), 'utf8');
}

/** The text between the two marks, without the line ends next to them. Throws when the marks are not there exactly once. */
export function blockOf(text: string, name: string): string {
  const [from, to] = marksOf(text, name);
  return text.slice(from, to).trim();
}

function withBlock(text: string, name: string, content: string): string {
  const [from, to] = marksOf(text, name);
  return `${text.slice(0, from)}\n${content.trim()}\n${text.slice(to)}`;
}

function marksOf(text: string, name: string): [number, number] {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  if (text.split(begin).length !== 2 || text.split(end).length !== 2)
    throw new Error(`there must be exactly one ${begin} and one ${end}`);
  return [text.indexOf(begin) + begin.length, text.indexOf(end)];
}

/** Writes the rendered tables into README.md. */
export function updateReadme(): void {
  const text = Object.entries(RENDERED).reduce(
    (all, [name, render]) => withBlock(all, name, render()),
    readDocument('README.md'),
  );
  writeFileSync(join(ROOT, 'README.md'), text);
}

/** One row per column that a file may bring. What the database fills by itself is told in the text. */
function columnsAsMarkdown(table: TableDefinition): string {
  const rows = table.columns.map(({ name, type, required, comment }) => [
    `\`${name}\``,
    `\`${type.sql}\``,
    required ? 'yes' : 'no',
    type.grammar,
    comment,
  ]);
  return tableOf(['column', 'type in PostgreSQL', 'required', 'accepted text', 'meaning'], rows);
}

function codesAsMarkdown(sentences: Readonly<Record<string, string>>): string {
  return tableOf(
    ['code', 'meaning'],
    Object.entries(sentences).map(([code, sentence]) => [`\`${code}\``, sentence]),
  );
}

function tableOf(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, header.map(() => '---'), ...rows];
  return lines
    .map(
      (cells) =>
        `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('*', '\\*')).join(' | ')} |\n`,
    )
    .join('');
}

/** First cells of a markdown table, without backquotes and without its two header lines. */
export function firstCells(table: string): string[] {
  return bodyCells(table).map(([first = '']) => first.replaceAll('`', ''));
}

/** The cells of all tables, row by row, trimmed; headers and rules are none. */
export function bodyCells(text: string): string[][] {
  const rows = text.split('\n').map((line) =>
    line.startsWith('|')
      ? line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim())
      : [],
  );
  return rows.filter((row, index) => row.length > 0 && !isRule(row) && !isRule(rows[index + 1] ?? []));
}

function isRule(row: readonly string[]): boolean {
  return row.length > 0 && row.every((cell) => /^-+$/.test(cell));
}

const INLINE_CODE = /`([^`\n]+)`/g;
const FENCE = /^```[^\n]*\n([^]*?)^```/gm;

/** Everything that stands in backquotes, in the text and in blocks; blocks are split into lines. */
function codeOf(text: string): string[] {
  const blocks = [...text.matchAll(FENCE)].flatMap(([, code = '']) => code.split('\n'));
  const inline = [...text.replaceAll(FENCE, '').matchAll(INLINE_CODE)].map(([, code = '']) => code);
  return [...blocks, ...inline];
}

/** Tops of the house. `data/` is left out: what lies there is mostly made when the program runs. */
const PATH = /(?<![\w./-])((?:src|workers|bench|sql|test|\.ci)\/[\w./-]*|[A-Z]+\.md|Makefile|LICENSE)/g;

/** Paths of this repository that a text names, relative to its root. Endings of sentences do not belong to them. */
export function pathsIn(text: string): string[] {
  const found = [...text.matchAll(PATH)].map(([, path = '']) => path.replace(/[.,]+$/, ''));
  return [...new Set(found)].toSorted();
}

/**
 * Paths of a tree drawn with indentation, two blanks a level: a line begins with one or more names, which two blanks end; a folder
 * ends with `/`.
 */
export function treePaths(tree: string): string[] {
  const folders: string[] = [];
  return tree
    .split('\n')
    .filter((line) => line.trim() !== '')
    .flatMap((line) => {
      const depth = (line.length - line.trimStart().length) / 2;
      const names = (line.trimStart().split('  ')[0] ?? '').split(' ');
      folders.length = depth;
      const paths = names.map((name) => [...folders, name].join(''));
      if (names[0]?.endsWith('/') === true) folders[depth] = names[0];
      return paths;
    });
}

/** `make` targets that a text's code names: `make run`, `make -s millrace ARGS=...`. */
export function targetsIn(text: string): string[] {
  const found = codeOf(text).flatMap((code) =>
    [...code.matchAll(/(?<![\w/-])make(?: -s)? ([a-z-]+)/g)].map(([, target = '']) => target),
  );
  return [...new Set(found)].toSorted();
}

export function makeTargets(): string[] {
  const makefile = readFileSync(join(ROOT, 'Makefile'), 'utf8');
  return [...makefile.matchAll(/^([a-z-]+):.*## /gm)].map(([, name = '']) => name);
}

export interface Link {
  readonly text: string;
  /** Path from the root; the document itself for a bare `#anchor`. */
  readonly path: string;
  readonly anchor: string | null;
}

/** Links that stay in the repository. */
export function internalLinks(name: string, text: string): Link[] {
  return [...text.replaceAll(FENCE, '').matchAll(/\[([^\]\n]*)\]\(([^)\s]+)\)/g)]
    .filter(([, , target = '']) => !/^[a-z]+:/.test(target))
    .map(([, label = '', target = '']) => {
      const [path = '', anchor] = target.split('#');
      return {
        text: label,
        path: path === '' ? name : normalize(join(dirname(name), path)),
        anchor: anchor ?? null,
      };
    });
}

/** Anchors of the headings, as GitHub makes them. */
export function anchorsOf(text: string): string[] {
  return [...text.replaceAll(FENCE, '').matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) =>
    heading
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** `--flag` words in a text's code. */
export function flagsIn(text: string): string[] {
  const found = codeOf(text).flatMap((code) =>
    [...code.matchAll(/(?<![\w-])--([a-z][a-z-]*)/g)].map(([, flag = '']) => flag),
  );
  return [...new Set(found)].toSorted();
}

/** `millrace.name` words in a text's code: tables and views of the engine. */
export function engineTablesIn(text: string): string[] {
  const found = codeOf(text).flatMap((code) =>
    [...code.matchAll(/\bmillrace\.([a-z_]+)/g)].map(([, table = '']) => table),
  );
  return [...new Set(found)].toSorted();
}
