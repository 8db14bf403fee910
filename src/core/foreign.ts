// What a file is that is no CSV in UTF-8, by its first bytes. Only formats that people deliver by mistake; anything else shows itself as
// a bad header.

import type { FileFault } from './slice.ts';

/** Magic numbers at offset 0, with what they mean. Longer ones first: UTF-32 LE begins like UTF-16 LE. */
const FOREIGN: readonly (readonly [FileFault, string, readonly number[]])[] = [
  ['compressed', 'gzip', [0x1f, 0x8b]],
  ['compressed', 'zip', [0x50, 0x4b, 0x03, 0x04]],
  ['compressed', 'zip', [0x50, 0x4b, 0x05, 0x06]],
  ['compressed', 'xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['compressed', 'zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['compressed', 'bzip2', [0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59]],
  ['wrong_encoding', 'UTF-32', [0xff, 0xfe, 0x00, 0x00]],
  ['wrong_encoding', 'UTF-32', [0x00, 0x00, 0xfe, 0xff]],
  ['wrong_encoding', 'UTF-16', [0xff, 0xfe]],
  ['wrong_encoding', 'UTF-16', [0xfe, 0xff]],
];

/** The fault and a sentence when a file begins as no CSV in UTF-8 does; else null. */
export function foreignFormat(bytes: Buffer): { code: FileFault; reason: string } | null {
  const match = FOREIGN.find(([, , magic]) => magic.every((byte, index) => bytes[index] === byte));
  if (match === undefined) return null;
  const [code, name] = match;
  if (name === 'gzip')
    return { code, reason: 'the file is compressed (gzip): name it .csv.gz to have it unpacked' };
  return code === 'compressed'
    ? { code, reason: `the file is compressed (${name}); unpack it and deliver the CSV itself` }
    : { code, reason: `the file is not UTF-8: it begins with the mark of ${name}; save the file as UTF-8` };
}
