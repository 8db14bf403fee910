// `diff` of a file that was corrected and sent again, before and after the new content was read.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { millrace } from '../support/cli.ts';
import { csv, event, events, invalidEvent } from '../support/events.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';
import { Road } from '../support/road.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

interface Listed {
  readonly count: number;
  readonly events: readonly { key: string; line: number | null; text: string | null }[];
}

interface Answer {
  readonly read: boolean;
  readonly new: Listed;
  readonly changed: Listed;
  readonly gone: Listed;
  readonly same: number;
  readonly rejected: number;
  readonly notes: readonly string[];
}

async function diff(road: Road, name: string): Promise<Answer & { code: number | null; text: string }> {
  const { code, stdout, stderr } = await millrace(['diff', name, '--json', '--input', road.folder], {
    env: road.database.env,
  });
  assert.ok(stdout !== '', stderr);
  return { ...(JSON.parse(stdout) as Answer), code, text: stderr };
}

test('what is new, gone and changed is the same before and after the new content was read', async () => {
  const road = new Road(await server.createDatabase());
  try {
    // A neighbour in the same transaction: its rows are not this file's.
    await road.put('orders.csv', csv([...events(0, 10), invalidEvent(70)]));
    await road.put('other.csv', csv(events(100, 5)));
    await road.once();
    const first = await diff(road, 'orders.csv');
    assert.equal(first.code, 0);
    assert.match(first.text, /had no other content before/);

    const corrected = [
      ...events(0, 4),
      event(4, 9),
      ...events(6, 4),
      event(50),
      event(101),
      invalidEvent(71),
    ];
    await road.put('orders.csv', csv(corrected));
    for (const isRead of [false, true]) {
      if (isRead) await road.once();
      const found = await diff(road, road.path('orders.csv'));
      assert.equal(found.code, 1);
      assert.equal(found.read, isRead);
      assert.deepEqual(found.new, { count: 1, events: [{ key: event(50).key, line: 11, text: null }] });
      assert.deepEqual(found.gone, { count: 1, events: [{ key: event(5).key, line: null, text: null }] });
      assert.deepEqual(
        [found.changed.count, found.changed.events[0]?.key, found.changed.events[0]?.line],
        [1, event(4).key, 6],
      );
      assert.match(found.changed.events[0]?.text ?? '', /in the file, .* in the table/);
      assert.deepEqual([found.same, found.rejected, found.notes], [9, 1, []]);
    }
  } finally {
    await road.clean();
  }
});

test('a file that the books do not know, and one that is not there, are told', async () => {
  const road = new Road(await server.createDatabase());
  try {
    await road.put('a.csv', csv(events(0, 2)));
    await road.once();
    await road.put('b.csv', csv(events(0, 2)));
    const run = (name: string): ReturnType<typeof millrace> =>
      millrace(['diff', name, '--input', road.folder], { env: road.database.env });
    const unknown = await run('b.csv');
    assert.deepEqual([unknown.code, /books know nothing of b\.csv/.test(unknown.stderr)], [5, true]);
    const missing = await run('c.csv');
    assert.deepEqual([missing.code, /there is no file c\.csv/.test(missing.stderr)], [5, true]);
  } finally {
    await road.clean();
  }
});
