// report.md, and the same text for the terminal.

import type { Machine } from '../machine.ts';
import type { Outcome, Table } from '../outcome.ts';

export interface ReportHead {
  readonly startedAt: string;
  readonly arguments: readonly string[];
  readonly machine: Machine;
}

export function markdownOf(head: ReportHead, outcomes: readonly Outcome[], changes: Table | null): string {
  const parts = [headText(head), ...outcomes.map(outcomeText)];
  if (changes !== null) parts.push(`## ${changes.title}\n\n${tableText(changes)}`);
  return `${parts.join('\n\n')}\n`;
}

function headText({ startedAt, machine, arguments: given }: ReportHead): string {
  const rows = machineRows(machine).map(([name, value]) => `| ${name} | ${value} |`);
  const command = given.length === 0 ? 'make bench' : `make bench ARGS="${given.join(' ')}"`;
  return `# Benchmark of ${startedAt}\n\n\`${command}\`\n\n| | |\n|---|---|\n${rows.join('\n')}`;
}

/** Name and value of everything that the numbers depend on. */
export function machineRows(machine: Machine): [string, string][] {
  const { settings, fileSystems } = machine;
  const dirty = { true: ', with changes that are not committed', false: ', nothing changed since', null: '' }[
    `${machine.dirty}`
  ];
  return [
    ['machine', `${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB`],
    ['kernel', machine.kernel],
    ['file systems', `files on ${fileSystems.files}, database on ${fileSystems.database}`],
    ['Node.js', machine.node],
    ['PostgreSQL', `${machine.postgres}, ${machine.server}`],
    [
      'settings',
      Object.entries(settings)
        .map(([name, value]) => `${name} = ${value}`)
        .join(', '),
    ],
    ['commit', `${machine.commit}${dirty}`],
    [
      'load before',
      `${machine.loadBefore.toFixed(2)}${machine.loadBefore > 0.5 ? ': something else was running, these numbers are in doubt' : ''}`,
    ],
  ];
}

function outcomeText(outcome: Outcome): string {
  const sentences = outcome.sentences.map((sentence) => `* ${sentence}`).join('\n');
  const tables = outcome.tables.map((table) => `### ${table.title}\n\n${tableText(table)}`);
  return [`## ${outcome.name}`, sentences, ...tables].filter(Boolean).join('\n\n');
}

/** Columns padded, so that it can be read on a terminal as it is. */
function tableText({ header, rows }: Table): string {
  const all = [header, ...rows].map((cells) => cells.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = header.map((_, column) => Math.max(3, ...all.map((cells) => (cells[column] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [line(all[0] ?? []), rule, ...all.slice(1).map(line)].join('\n');
}
