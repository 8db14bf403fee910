// SECURITY.md against the tests: every box of the list is there, and the tests that it names exist. Not for whether they pass.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { ROOT, blockOf, readDocument } from './support/documents.ts';

/** The boxes: database, secrets and logs, input, process, supply chain. Those of the dashboard come with the dashboard. */
const BOXES = [
  'D1',
  'D2',
  'D3',
  'D4',
  'D5',
  'D6',
  'S1',
  'S2',
  'S3',
  'I1',
  'I2',
  'I3',
  'I4',
  'I5',
  'P1',
  'P2',
  'P3',
  'P4',
  'C1',
  'C2',
  'C3',
  'C4',
];

const rows = blockOf(readDocument('SECURITY.md'), 'boxes')
  .split('\n')
  .slice(2)
  .map((line) => line.split('|').map((cell) => cell.trim()));

test('SECURITY.md has a line for every box, once, and says what is true', () => {
  assert.deepEqual(
    rows.map(([, box]) => box),
    BOXES,
  );
  for (const [, box, what = ''] of rows) assert.ok(what.length > 20, box);
});

for (const [, box = '', , proof = ''] of rows) {
  test(`what SECURITY.md names for ${box} exists`, () => {
    const proofs = proof.split('<br>').map((each) => /^`(test\/[\w./-]+\.test\.ts)`: (.+)$/.exec(each));
    for (const found of proofs) {
      assert.ok(
        found !== null,
        `${box}: a proof is a file in backquotes, a colon and the name of a test: ${proof}`,
      );
      const [, file = '', name = ''] = found;
      assert.ok(existsSync(join(ROOT, file)), file);
      assert.ok(
        namesOf(readFileSync(join(ROOT, file), 'utf8')).includes(name),
        `${file} has no test "${name}"`,
      );
    }
  });
}

/** Names as they are written, so that a template is found by its own text. */
function namesOf(source: string): string[] {
  const quoted = /\btest\(\s*(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`([^`]*)`)/g;
  return [...source.matchAll(quoted)].map(
    ([, single, double, template]) => single ?? double ?? template ?? '',
  );
}

test('the unit in SECURITY.md takes away what is not needed', () => {
  const unit = blockOf(readDocument('SECURITY.md'), 'unit').split('\n');
  for (const line of [
    'User=millrace',
    'UMask=0077',
    'NoNewPrivileges=yes',
    'CapabilityBoundingSet=',
    'ProtectSystem=strict',
    'ProtectHome=yes',
    'PrivateTmp=yes',
    'LimitCORE=0',
    'MemoryMax=2G',
    'SystemCallFilter=@system-service',
    'RestartPreventExitStatus=2 4 5',
  ])
    assert.ok(unit.includes(line), line);
  assert.ok(unit.some((line) => line.startsWith('ReadWritePaths=/')));
  assert.ok(
    !unit.some((line) => /^Environment=.*(?:DATABASE_URL=|PGPASSWORD=)/.test(line)),
    'no secret in the unit',
  );
  const start = unit.find((line) => line.startsWith('ExecStart=')) ?? '';
  assert.match(start, / src\/main\.ts run /);
});
