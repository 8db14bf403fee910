// The plots of a report as inline SVG: bars with their spread, percentile curves, lines over time. Text in, text out.

import type { Plot, Series } from '../outcome.ts';

const WIDTH = 720;
const HEIGHT = 320;
const LEFT = 70;
const RIGHT = 20;
const TOP = 16;
const BOTTOM = 44;
/** Okabe and Ito's colours, told apart by people who see few. */
const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000', '#999999'];

export function svgOf(plot: Plot): string {
  switch (plot.kind) {
    case 'bars':
      return barsSvg(plot);
    case 'percentiles':
      return percentilesSvg(plot.series);
    case 'time':
      return timeSvg(plot.series, plot.unit);
    default:
      return plot satisfies never;
  }
}

/** As a file of its own, on white: the page that shows it may be dark. */
export function svgFileOf(plot: Plot): string {
  const ground = '<rect width="100%" height="100%" fill="#fff"/>';
  return `${svgOf(plot).replace(/^<svg ([^>]*)>/, `<svg xmlns="http://www.w3.org/2000/svg" $1>${ground}`)}\n`;
}

export function escapeHtml(raw: string): string {
  return raw
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function barsSvg({ bars, unit }: Extract<Plot, { kind: 'bars' }>): string {
  const row = 34;
  const labels = 230;
  const top = Math.max(...bars.map((bar) => bar.max), 1e-9);
  const x = (value: number): number => labels + (value / top) * (WIDTH - labels - 120);
  const parts = bars.map((bar, index) => {
    const y = 8 + index * row;
    const middle = y + 12;
    return (
      label(labels - 8, middle + 4, bar.label, 'end') +
      `<rect x="${labels}" y="${y}" width="${fixed(x(bar.median) - labels)}" height="24" fill="${COLORS[index % COLORS.length]}"/>` +
      `<path d="M${fixed(x(bar.min))} ${middle}H${fixed(x(bar.max))}M${fixed(x(bar.min))} ${middle - 5}v10M${fixed(x(bar.max))} ${middle - 5}v10" stroke="#222" fill="none"/>` +
      label(x(bar.max) + 8, middle + 4, `${bar.median.toPrecision(3)} ${unit}`, 'start')
    );
  });
  return frame(bars.length * row + 12, parts.join(''));
}

/** As the HdrHistogram plots do: nines along x, so that the tail is not squeezed into the last pixel. */
function percentilesSvg(series: readonly Series[]): string {
  const nines = 4;
  const place = (share: number): number => Math.min(nines, -Math.log10(Math.max(1e-9, 1 - share))) / nines;
  const values = series.flatMap(({ points }) => points.map(([, y]) => y)).filter((y) => y > 0);
  const [low, high] = [Math.log10(Math.min(...values, 1)), Math.log10(Math.max(...values, 10))];
  const y = (ms: number): number => up((Math.log10(Math.max(ms, 1e-3)) - low) / (high - low || 1));
  const xTicks = [0, 0.5, 0.9, 0.99, 0.999, 0.9999].map((share) =>
    tickX(along(place(share)), `${share * 100} %`),
  );
  const decades = Array.from(
    { length: Math.floor(high) - Math.ceil(low) + 1 },
    (_, index) => Math.ceil(low) + index,
  );
  const yTicks = decades.map((decade) => tickY(y(10 ** decade), `${10 ** decade} ms`));
  const lines = series.map(({ points }, index) =>
    polyline(
      points.map(([share, ms]) => [along(place(share)), y(ms)]),
      index,
    ),
  );
  return frame(HEIGHT + legendHeight(series), [...xTicks, ...yTicks, ...lines, legend(series)].join(''));
}

function timeSvg(series: readonly Series[], unit: string): string {
  const points = series.flatMap((each) => each.points);
  const right = Math.max(...points.map(([x]) => x), 1e-9);
  const top = niceTop(Math.max(...points.map(([, y]) => y), 1e-9));
  const quarters = [0, 0.25, 0.5, 0.75, 1];
  const xTicks = quarters.map((share) => tickX(along(share), `${(share * right).toPrecision(3)} s`));
  const yTicks = quarters.map((share) => tickY(up(share), `${fixed(share * top)} ${unit}`));
  const lines = series.map((each, index) =>
    polyline(
      each.points.map(([x, y]) => [along(x / right), up(y / top)]),
      index,
    ),
  );
  return frame(HEIGHT + legendHeight(series), [...xTicks, ...yTicks, ...lines, legend(series)].join(''));
}

function niceTop(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 5, 8].find((step) => step * unit >= value) ?? 10) * unit;
}

function along(share: number): number {
  return LEFT + share * (WIDTH - LEFT - RIGHT);
}

function up(share: number): number {
  return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
}

function tickX(x: number, words: string): string {
  return `<path d="M${fixed(x)} ${TOP}V${HEIGHT - BOTTOM}" stroke="#ddd"/>${label(x, HEIGHT - BOTTOM + 18, words, 'middle')}`;
}

function tickY(y: number, words: string): string {
  return `<path d="M${LEFT} ${fixed(y)}H${WIDTH - RIGHT}" stroke="#ddd"/>${label(LEFT - 6, y + 4, words, 'end')}`;
}

function polyline(points: readonly (readonly [number, number])[], index: number): string {
  const path = points.map(([x, y]) => `${fixed(x)},${fixed(y)}`).join(' ');
  return `<polyline points="${path}" fill="none" stroke="${COLORS[index % COLORS.length]}" stroke-width="1.8"/>`;
}

function legendHeight(series: readonly Series[]): number {
  return series.length * 18;
}

function legend(series: readonly Series[]): string {
  const entries = series.map(({ label: words }, index) => {
    const y = HEIGHT + index * 18;
    return `<rect x="${LEFT}" y="${y - 8}" width="14" height="4" fill="${COLORS[index % COLORS.length]}"/>${label(LEFT + 20, y, words, 'start')}`;
  });
  return entries.join('');
}

function label(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}">${escapeHtml(content)}</text>`;
}

function frame(height: number, content: string): string {
  return `<svg viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" font-family="sans-serif" font-size="12">${content}</svg>`;
}

function fixed(value: number): string {
  return Number(value.toFixed(2)).toString();
}
