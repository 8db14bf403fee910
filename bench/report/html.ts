// report.html: one page that needs nothing else, opened from disk. The tables of report.md and the plots.

import type { Outcome, Table } from '../outcome.ts';
import type { ReportHead } from './markdown.ts';
import { machineRows } from './markdown.ts';
import { escapeHtml, svgOf } from './svg.ts';

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:1rem 0;font-size:13px}td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}
th{background:#f4f4f4}figure{margin:1.5rem 0;overflow-x:auto}figcaption{font-weight:600}svg{max-width:100%;height:auto}`;

export function htmlOf(head: ReportHead, outcomes: readonly Outcome[], changes: Table | null): string {
  const title = `Millrace: benchmark of ${head.startedAt}`;
  const body = [
    `<h1>${escapeHtml(title)}</h1>`,
    tableHtml({ title: '', header: ['', ''], rows: machineRows(head.machine) }),
    ...outcomes.map(outcomeHtml),
    ...(changes === null ? [] : [`<h2>${escapeHtml(changes.title)}</h2>`, tableHtml(changes)]),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title><style>${STYLE}</style></head>
<body>
${body.join('\n')}
</body></html>
`;
}

function outcomeHtml(outcome: Outcome): string {
  const sentences = outcome.sentences.map((sentence) => `<li>${escapeHtml(sentence)}</li>`).join('');
  const plots = outcome.plots.map(
    (plot) => `<figure><figcaption>${escapeHtml(plot.title)}</figcaption>${svgOf(plot)}</figure>`,
  );
  const tables = outcome.tables.map((table) => `<h3>${escapeHtml(table.title)}</h3>${tableHtml(table)}`);
  const [first = '', ...others] = plots;
  return [`<h2>${escapeHtml(outcome.name)}</h2>`, `<ul>${sentences}</ul>`, first, ...tables, ...others].join(
    '\n',
  );
}

function tableHtml({ header, rows }: Table): string {
  const cells = (row: readonly string[], tag: 'td' | 'th'): string =>
    `<tr>${row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  const head = header.some((cell) => cell !== '') ? cells(header, 'th') : '';
  return `<table>${head}${rows.map((row) => cells(row, 'td')).join('')}</table>`;
}
