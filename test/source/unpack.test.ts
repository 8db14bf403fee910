// Unpacking: what comes out, what is refused and with which words, and that neither memory nor descriptors nor files are left behind.

import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { readRangeSync } from '../../src/source/content.ts';
import { isPackedName, unpack } from '../../src/source/unpack.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-unpack-'));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'a.csv.gz');

async function unpacked(bytes: Uint8Array, bytesMax = 2 ** 30): Promise<string> {
  writeFileSync(path, bytes);
  const found = await unpack(path, { folder, bytesMax }, () => true);
  if (found.kind !== 'unpacked') return found.kind === 'refused' ? found.reason : found.kind;
  const text = readRangeSync(found.fd, 0, found.size)?.toString() ?? '';
  closeSync(found.fd);
  return text;
}

/** 0 where the system does not tell. */
const openDescriptors = (): number => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0);

test('one member, several, empty ones and padding come out as one text', async () => {
  const text = 'k,t\na,b\n'.repeat(10_000);
  assert.equal(await unpacked(gzipSync(text)), text);
  const members = [gzipSync(text), gzipSync(''), gzipSync('c,d\n'), Buffer.alloc(1000)];
  assert.equal(await unpacked(Buffer.concat(members)), `${text}c,d\n`);
  assert.equal(await unpacked(gzipSync('')), '');
});

test('cut off anywhere, it is refused', async () => {
  const whole = gzipSync('k,t\na,b\n'.repeat(50));
  for (let length = 1; length < whole.length; length += 1)
    assert.match(await unpacked(whole.subarray(0, length)), /cut off/, `${length} of ${whole.length} bytes`);
  const two = Buffer.concat([whole, whole]);
  for (let length = whole.length + 1; length < two.length; length += 1)
    assert.match(
      await unpacked(two.subarray(0, length)),
      /cut off|damaged/,
      `${length} of ${two.length} bytes`,
    );
});

test('a wrong byte anywhere behind the header is seen', async () => {
  const whole = gzipSync('k,t\na,b\nc,d\n');
  for (let at = 10; at < whole.length; at += 1) {
    const bytes = Buffer.from(whole);
    bytes[at]! ^= 0x21;
    assert.match(await unpacked(bytes), /^it is (damaged|cut off)/, `byte ${at}`);
  }
});

test('bombs are stopped by ratio and by size', async () => {
  const bomb = gzipSync(Buffer.alloc(100 * 1024 * 1024));
  assert.match(await unpacked(bomb), /as bombs do/);
  assert.match(await unpacked(bomb, 1024 * 1024), /more than 1048576 bytes: raise --unpacked-max/);
});

test('memory stays that of a few blocks, and nothing is left behind', async () => {
  const before = openDescriptors();
  const block = Buffer.from(
    Array.from({ length: 1024 * 1024 }, (_, index) => (index * 7919 + (index >> 8)) & 0x7f),
  );
  writeFileSync(path, Buffer.concat(Array.from({ length: 96 }, () => gzipSync(block, { level: 1 }))));
  const start = process.memoryUsage.rss();
  let most = start;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 5);
  const found = await unpack(path, { folder, bytesMax: 2 ** 30 }, () => true);
  clearInterval(watch);
  assert.equal(found.kind === 'unpacked' && found.size, 96 * 1024 * 1024);
  assert.ok(most - start < 64 * 1024 * 1024, `${(most - start) >> 20} MiB more for 96 MiB`);
  if (found.kind === 'unpacked') closeSync(found.fd);
  assert.match(await unpacked(Buffer.from('no gzip')), /damaged/);
  assert.equal(
    await unpacked(readFileSync(path).subarray(0, 0)),
    'it is empty: a gzip file has at least a header',
  );
  assert.equal(openDescriptors(), before);
  assert.deepEqual(readdirSync(folder), ['a.csv.gz']);
});

test('names decide, in any case', () => {
  for (const name of ['a.csv.gz', 'A.CSV.GZ', '.gz']) assert.ok(isPackedName(Buffer.from(name)), name);
  for (const name of ['a.csv', 'gz', 'a.gz.csv', '']) assert.ok(!isPackedName(Buffer.from(name)), name);
});
