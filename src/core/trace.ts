// What a splitter remembers of the last record of several lines, so that malformed input stays linear. Only positions and counts; the
// automaton itself is record.ts.

/**
 * What the last record of several lines looked like: the positions of its line ends inside quotes, the number of fields begun by
 * then, and where scanning stopped. A malformed record gives back all its lines but the first; when the scan of a later line is
 * inside quotes at one of these line ends, it must go the same way, and jumps. Without this, lines such as `a",b"x,"c` under a header
 * of 100,000 columns are read again for each line.
 */
export interface Trace {
  readonly newlines: number[];
  readonly fields: number[];
  at: number;
  end: number;
  endState: number;
  endFields: number;
}

export function createTrace(): Trace {
  return { newlines: [], fields: [], at: 0, end: 0, endState: 0, endFields: 0 };
}

/** Whether the trace passed this line end inside quotes; if so, `trace.at` is its index. */
export function knows(trace: Trace, position: number): boolean {
  const { newlines } = trace;
  while (trace.at < newlines.length && newlines[trace.at]! < position) trace.at += 1;
  return newlines[trace.at] === position;
}

export function restart(trace: Trace, position: number, fields: number): void {
  trace.newlines.length = 0;
  trace.fields.length = 0;
  trace.at = 0;
  note(trace, position, fields);
}

export function note(trace: Trace, position: number, fields: number): void {
  trace.newlines.push(position);
  trace.fields.push(fields);
}

/** Where the scan that is being traced has stopped. */
export function stopTrace(trace: Trace, end: number, state: number, fields: number): void {
  trace.end = end;
  trace.endState = state;
  trace.endFields = fields;
}
