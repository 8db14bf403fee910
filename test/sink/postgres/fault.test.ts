// What is kept of the database's words about a row.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';

import { StepFault, stopped } from '../../../src/sink/postgres/fault.ts';

test("the database's words about a row are cut, and its detail is in no message for people", () => {
  const cause = Object.assign(new pg.DatabaseError('violates check "c"', 1, 'error'), {
    code: '23514',
    detail: `Failing row contains (planted, ${'x'.repeat(5_000)}).`,
    where: 'planted',
  });
  const fault = new StepFault('rows', { sqlstate: '23514' }, cause);
  assert.match(fault.words, /^violates check "c": Failing row contains \(planted, x+\.\.\.$/);
  assert.equal(fault.words.length, 503);
  const said = stopped(fault, 'the database');
  assert.doesNotMatch(`${fault.message} ${said.message} ${said.wayOut}`, /planted/);
});
