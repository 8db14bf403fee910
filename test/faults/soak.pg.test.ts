// A small soak, so that `make soak` cannot rot, and the proof that its checks can fail. No time and no amount of memory is asserted.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';

import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { withRoad } from '../support/road.ts';
import { SUMS_SQL, addSums, soakFile } from './soak-content.ts';
import { evidenceOf } from './soak-evidence.ts';
import type { Sample } from './soak-samples.ts';
import { longestLife, quartersOf } from './soak-samples.ts';
import { soak } from './soak.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

test(
  'a soak of seconds: an evil after the other, and every row is stored once',
  { timeout: 400_000 },
  async (t) => {
    const seed = randomInt(1_000_000);
    const soaked = await soak({
      seed,
      seconds: 16,
      evilEveryMs: 2_000,
      share: 0.7,
      measureMs: 1_000,
      rowsPerFile: 200,
      drainEveryMs: 3_000,
      rowsPerSecondMax: 4_000,
      say: (line) => t.diagnostic(line),
    });
    t.diagnostic(`${evidenceOf(soaked, 1_000)}; seed ${seed}`);
    assert.deepEqual(soaked.violations, []);
    const evils = Object.values(soaked.evils).reduce((sum, times) => sum + times, 0);
    assert.ok(evils >= 1 && soaked.produced.count > 0 && soaked.stored.count === soaked.produced.count);
  },
);

test('a lost row, a changed one and one stored in place of another are seen in the sums', () =>
  withRoad(server, async (road) => {
    const { text, sums } = soakFile(7, 1_000, 300);
    await road.put('a.csv', text);
    const { inserted, duplicates, rejected } = await road.once();
    assert.deepEqual([inserted, duplicates, rejected], [300, 1, 1]);
    const ask = async () => {
      const [row] = await road.query<{ count: string; sum: string; squares: string; wrong: string }>(
        SUMS_SQL,
        ['7'],
      );
      assert.ok(row !== undefined);
      return {
        count: Number(row.count),
        sum: BigInt(row.sum),
        squares: BigInt(row.squares),
        wrong: Number(row.wrong),
      };
    };
    assert.deepEqual(await ask(), { ...sums, wrong: 0 });
    await road.query("UPDATE events SET quantity = quantity + 1 WHERE product_id = 'p1003'");
    assert.deepEqual(await ask(), { ...sums, wrong: 1 });
    await road.query("UPDATE events SET quantity = quantity - 1 WHERE product_id = 'p1003'");
    // 1000 and 1003 leave, 1001 and 1002 come a second time: the same count and sum.
    await road.query("UPDATE events SET product_id = 'p1001' WHERE product_id = 'p1000'");
    await road.query("UPDATE events SET product_id = 'p1002' WHERE product_id = 'p1003'");
    const other = await ask();
    assert.deepEqual([other.count, other.sum], [sums.count, sums.sum]);
    assert.notEqual(other.squares, sums.squares);
    await road.query("DELETE FROM events WHERE product_id = 'p1010'");
    assert.equal((await ask()).count, 299);
    const [a, b] = [soakFile(7, 1_000, 100), soakFile(7, 1_100, 200)];
    assert.deepEqual(addSums(a.sums, b.sums), sums);
  }));

test('quarters are those of time, and the longest life is found', () => {
  const sample = (atMs: number, life: number, rssMiB: number): Sample => ({
    atMs,
    life,
    ageMs: atMs,
    rssMiB,
    openFiles: 30,
    filesWaiting: 0,
  });
  const samples = [
    sample(0, 1, 100),
    sample(10, 1, 110),
    sample(50, 2, 300),
    sample(90, 2, 120),
    sample(99, 2, 130),
  ];
  const [first, last] = quartersOf(samples, 0, 100);
  assert.deepEqual([first.samples, first.rssMiB, first.rssMiBMax], [2, 110, 110]);
  assert.deepEqual([last.samples, last.rssMiB, last.rssMiBMax], [2, 130, 130]);
  assert.deepEqual(
    longestLife(samples).map(({ atMs }) => atMs),
    [50, 90, 99],
  );
});
