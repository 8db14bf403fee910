// File names: bytes, and what people and patterns see of them. Names need not be valid UTF-8, and may hold newlines and quotes.

import { isUtf8 } from 'node:buffer';
import { matchesGlob } from 'node:path';

/** Endings of files that somebody is still writing, or keeps as a backup. */
const UNFINISHED = ['.tmp', '.part', '~'] as const;

const DELETING = '.millrace-deleting-';

/** Hidden, temporary and backup names are never looked at, whatever the patterns say. `name` has no folder part. */
export function isIgnored(name: string): boolean {
  return name.startsWith('.') || UNFINISHED.some((ending) => name.endsWith(ending));
}

/** Compiles the patterns once: most are `*.ending`, which needs no glob matching. `name` has no folder part; case counts. */
export function nameFilter(patterns: readonly string[]): (name: string) => boolean {
  const tests = patterns.map(patternTest);
  return (name) => !isIgnored(name) && tests.some((matches) => matches(name));
}

function patternTest(pattern: string): (name: string) => boolean {
  const ending = /^\*([^*?[\]{}()!+@\\/]*)$/.exec(pattern)?.[1];
  if (ending !== undefined) return (name) => name.endsWith(ending);
  return (name) => matchesGlob(name, pattern);
}

/** For matching and sorting only: one character per byte where a name is not valid UTF-8. */
function looseText(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString(
    isUtf8(name) ? 'utf8' : 'latin1',
  );
}

/** For people, logs and the books: control characters, backslashes, direction overrides and invalid bytes as \xNN. */
export function printableName(name: Uint8Array): string {
  const bytes = Buffer.from(name.buffer, name.byteOffset, name.byteLength);
  if (!isUtf8(bytes)) return escapeBytes(bytes);
  // \p{C}: control, format, surrogate, private and unassigned; line and paragraph separators are \p{Zl} and \p{Zp}.
  return bytes
    .toString('utf8')
    .replace(/[\p{C}\p{Zl}\p{Zp}\\]/gu, (text) => escapeBytes(Buffer.from(text), true));
}

function escapeBytes(bytes: Uint8Array, all = false): string {
  let text = '';
  for (const byte of bytes) {
    const plain = !all && byte >= 0x20 && byte < 0x7f && byte !== 0x5c;
    text += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

/** One string per name, byte for byte: the key of a map. */
export function nameKey(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('latin1');
}

/** The bytes of a name again. */
export function bytesOfKey(key: string): Buffer {
  const bytes = Buffer.alloc(key.length);
  bytes.write(key, 'latin1');
  return bytes;
}

/** A name of ASCII only: its key, its text and its bytes say the same. */
export function isPlain(key: string): boolean {
  return !/[\u0080-\u00ff]/.test(key);
}

/** What `looseText` gives for the bytes of a name. */
export function textOfKey(key: string): string {
  return isPlain(key) ? key : looseText(bytesOfKey(key));
}

/** folder / name, as bytes of their own (a piece of the shared pool would be copied whole to each worker). */
export function joinBytes(folder: Uint8Array, name: Uint8Array): Buffer {
  if (folder.length === 0) return ownBytes(name);
  const path = Buffer.alloc(folder.length + 1 + name.length);
  path.set(folder, 0);
  path[folder.length] = 0x2f;
  path.set(name, folder.length + 1);
  return path;
}

export function ownBytes(bytes: Uint8Array): Buffer {
  const own = Buffer.alloc(bytes.length);
  own.set(bytes);
  return own;
}

/** The folder part of a name below the input folder, without its last slash; empty for a name directly in it. */
export function folderOf(name: Uint8Array): Uint8Array {
  const slash = name.lastIndexOf(0x2f);
  return slash < 0 ? new Uint8Array(0) : name.subarray(0, slash);
}

/** The name under which a file waits to be deleted; carries its generation, so that a restart knows it again. */
export function deletingName(generation: string): string {
  return `${DELETING}${generation}`;
}

/** The generation in a name made by `deletingName`, or null for any other name. */
export function deletingGeneration(name: string): string | null {
  return name.startsWith(DELETING) ? name.slice(DELETING.length) : null;
}
