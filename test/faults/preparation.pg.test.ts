// The connection cut after any number of bytes of the server's answer, from the first hello to the taken lease.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { openSink } from '../sink/postgres/support.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { startTestServer } from '../support/postgres.ts';
import type { TestServer } from '../support/postgres.ts';

let server: TestServer;
before(async () => (server = await startTestServer()));
after(() => server.stop());

test('a connection cut anywhere while the sink is prepared and opened is tried again', async () => {
  const proxy = await startFaultProxy(server.port);
  for (let bytes = 300; bytes < 12_000; bytes += bytes < 3_000 ? 220 : 1_100) {
    const database = await server.createDatabase();
    proxy.cutAfterAnswer(bytes);
    const { sink } = await openSink({
      client: { ...database.client, host: '127.0.0.1', port: proxy.port },
    });
    await sink.leave();
  }
  assert.ok(proxy.cuts > 10, `${proxy.cuts} cuts`);
  await proxy.close();
});
