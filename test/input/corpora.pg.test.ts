// Public collections of nasty CSV through the parse room, `check` and the whole pipeline: nothing crashes or hangs, every record is
// accounted for, and both say the same.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { modelParse } from '../support/csv-model.ts';
import { millrace } from '../support/cli.ts';
import { corpora } from '../support/corpora.ts';
import { HEADER, event } from '../support/events.ts';
import { read } from '../support/input.ts';
import { parseCut, parseWhole, smallTable, withFile } from '../support/parse-harness.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road } from '../support/road.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

/** Longer ones only cost time here. */
const CUT_BYTES_MAX = 2_000;

test('the corpora are there', () => {
  const names = corpora().map(({ name }) => name);
  assert.ok(names.length > 150, `${names.length} samples`);
  assert.equal(new Set(names).size, names.length);
});

test('below a header of ours every sample is read as the model reads it, by both paths and at every cut', () => {
  for (const { name, bytes } of corpora()) {
    const grafted = Buffer.concat([Buffer.from('k,t,n\n'), bytes]);
    const expected = modelParse(grafted, smallTable);
    const flat = parseWhole(grafted);
    assert.deepEqual(
      [flat.rows, flat.rejects.map(({ code, offset, line }) => ({ code, offset, line }))],
      [expected.rows, expected.rejects.map(({ code, offset, line }) => ({ code, offset, line }))],
      name,
    );
    assert.deepEqual(parseWhole(grafted, { path: 'papaparse' }), flat, name);
    if (grafted.length > CUT_BYTES_MAX) continue;
    withFile(grafted, (file) => {
      for (let cut = 1; cut < grafted.length; cut += 7)
        assert.deepEqual(parseCut(file, [cut]), flat, `${name} cut at ${cut}`);
    });
  }
});

test('as they are, they bring no row: they are refused, or hold nothing', () => {
  for (const { name, bytes } of corpora()) assert.equal(read(bytes).rows, 0, name);
});

interface Checked {
  readonly records: number;
  readonly inserted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly refusedFiles: number;
}

test('check and the pipeline account for every record of every sample, and agree', async () => {
  const road = new Road(await server.createDatabase());
  try {
    let number = 0;
    const names: string[] = [];
    for (const { name, bytes } of corpora()) {
      number += 1;
      const good = Buffer.from(`${HEADER}\n${event(number).text}\n`);
      await road.put(name, bytes);
      await road.put(`below-${name}`, Buffer.concat([good, bytes]));
      names.push(road.path(name), road.path(`below-${name}`));
    }
    const { code, stdout } = await millrace(['check', '--json', ...names]);
    assert.equal(code, 1);
    const checked = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Checked;
    const counts = await road.once();
    assert.equal(counts.records, counts.inserted + counts.duplicates + counts.rejected);
    assert.deepEqual(
      [counts.records, counts.inserted, counts.duplicates, counts.rejected, counts.refusedFiles],
      [checked.records, checked.inserted, checked.duplicates, checked.rejected, checked.refusedFiles],
    );
    assert.ok(counts.inserted >= number, 'the good record above each sample');
    assert.equal(await road.count(), counts.inserted);
    for (const file of await road.books())
      assert.equal(file.records, file.inserted + file.duplicates + file.rejected, file.name);
    const open = (await road.books()).filter(({ state }) => state !== 'done' && state !== 'refused');
    assert.deepEqual(open, []);
  } finally {
    await road.clean();
  }
});
