// The file behind a slice: what its stamp says, and that a change under the reading is noticed.

import assert from 'node:assert/strict';
import { appendFileSync, lstatSync, truncateSync, utimesSync } from 'node:fs';
import { test } from 'node:test';
import { closeSliceFile, openSliceFile, stampSliceFile } from '../../workers/slice-file.ts';
import type { Fixture } from '../support/parse-harness.ts';
import { sliceOf, withFile } from '../support/parse-harness.ts';

/** Opens the file as a worker does, lets `change` happen, and stamps it. */
function stampAfter(change: (file: Fixture) => void): ReturnType<typeof stampSliceFile> {
  return withFile(Buffer.from('k,t\na,b\n'), (fixture) => {
    const file = openSliceFile(sliceOf(fixture, { fd: null }));
    try {
      change(fixture);
      return stampSliceFile(file);
    } finally {
      closeSliceFile(file);
    }
  });
}

test('the stamp is what the file system says', () => {
  let expected: object = {};
  const stamp = stampAfter((fixture) => {
    const { dev, ino, mtimeNs, ctimeNs } = lstatSync(fixture.path, { bigint: true });
    expected = { dev, ino, size: 8, mtimeNs, ctimeNs };
  });
  const { birthNs, ...rest } = stamp!;
  assert.deepEqual(rest, expected);
  assert.ok(birthNs === null || birthNs > 0n);
});

test('growth is no fault; a smaller file, or another time without growth, is', () => {
  assert.equal(stampAfter((fixture) => appendFileSync(fixture.path, 'more'))!.size, 12);
  assert.throws(() => stampAfter((fixture) => truncateSync(fixture.path, 3)), { code: 'SHRUNK' });
  assert.throws(() => stampAfter((fixture) => utimesSync(fixture.path, 1, 1)), { code: 'CHANGED' });
});

test("the main thread's descriptor is neither stamped nor closed", () => {
  withFile(Buffer.from('k,t\n'), (fixture) => {
    const file = openSliceFile(sliceOf(fixture));
    closeSliceFile(file);
    assert.equal(stampSliceFile(file), null);
    assert.equal(openSliceFile(sliceOf(fixture)).fd, fixture.fd);
  });
});
