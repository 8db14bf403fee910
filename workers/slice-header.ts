// The header behind a slice: read at the beginning of the file and remembered while the file is read in several slices.

import type { Header, HeaderResult } from '../src/core/header.ts';
import { readHeader } from '../src/core/header.ts';
import type { GenerationId, SliceTask } from '../src/core/slice.ts';
import { RECORD_BYTES_MAX } from '../src/core/slice.ts';
import type { TableDefinition } from '../src/schema/table.ts';
import type { SliceFile, Window } from './slice-file.ts';
import { extendWindow, openWindow, reachesLimit } from './slice-file.ts';

/** A header is read in blocks of this size; nearly all need one. */
const BLOCK_BYTES = 64 * 1024;

/** Headers of the files that are being read in several slices; there are never many of them. */
const HEADERS_MAX = 64;
const headers = new Map<GenerationId, Header>();

/** The header of a slice that begins the file: within its own bytes, reading on where they are too few. */
export function firstHeader(
  table: TableDefinition,
  slice: SliceTask,
  window: Window,
  newline: number,
): HeaderResult {
  const result = headerOfWindow(table, slice, window, newline);
  if (result.kind === 'header' && slice.end < slice.limit) remember(slice.generation, result.header);
  return result;
}

/** The header of a slice further on: from memory, or read from the beginning of the file. */
export function laterHeader(
  table: TableDefinition,
  slice: SliceTask,
  file: SliceFile,
  newline: number,
): HeaderResult {
  const known = headers.get(slice.generation);
  if (known !== undefined) {
    headers.delete(slice.generation);
    headers.set(slice.generation, known);
    return { kind: 'header', header: known };
  }
  const window = openWindow(file, 0, Math.min(BLOCK_BYTES, slice.limit), slice.limit);
  const result = headerOfWindow(table, slice, window, newline);
  if (result.kind === 'header') remember(slice.generation, result.header);
  return result;
}

function headerOfWindow(
  table: TableDefinition,
  slice: SliceTask,
  window: Window,
  newline: number,
): HeaderResult {
  for (;;) {
    const isEnd = reachesLimit(window);
    const result = readHeader(window.bytes, slice.final && isEnd, table, newline);
    if (result.kind !== 'incomplete' || isEnd) return result;
    extendWindow(window, Math.max(BLOCK_BYTES, Math.min(window.bytes.length, RECORD_BYTES_MAX)));
  }
}

/** Only complete headers are remembered: an incomplete one may still change. */
function remember(generation: GenerationId, header: Header): void {
  headers.set(generation, header);
  if (headers.size > HEADERS_MAX) headers.delete(headers.keys().next().value!);
}
