// The target table against a real server: made, found to fit, or refused with the list of differences.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { MillraceError } from '../../../src/errors.ts';
import { createTableSql } from '../../../src/schema/ddl.ts';
import { events } from '../../../src/schema/events.ts';
import { ensureTable } from '../../../src/sink/postgres/table.ts';
import type { TestDatabase, TestServer } from '../../support/postgres.ts';
import { startTestServer } from '../../support/postgres.ts';

const NAME = { schema: 'public', name: 'events' };

/** The table as a user may have made it, in their own words. */
const COLUMNS = {
  event_id: 'UUID PRIMARY KEY',
  event_type: 'VARCHAR(50) NOT NULL',
  product_id: 'VARCHAR(255)',
  user_id: 'TEXT',
  event_timestamp: 'TIMESTAMP NOT NULL',
  quantity: 'INTEGER',
  price: 'NUMERIC(14,2)',
};

let server: TestServer;
let database: TestDatabase;
let client: pg.Client;

before(async () => {
  server = await startTestServer();
  database = await server.createDatabase();
  client = await connect();
});

after(async () => {
  await client.end();
  await server.stop();
});

async function connect(options: pg.ClientConfig = {}): Promise<pg.Client> {
  const made = new pg.Client({ ...database.client, ...options });
  await made.connect();
  return made;
}

/** A schema of its own per case, so that cases cannot meet. */
async function inFreshSchema<T>(work: (schema: string) => Promise<T>): Promise<T> {
  const schema = `case_${Math.floor(performance.now() * 1000)}`;
  await client.query(`CREATE SCHEMA ${schema}; SET search_path = ${schema}`);
  try {
    return await work(schema);
  } finally {
    await client.query(`RESET search_path; RESET ROLE; DROP SCHEMA ${schema} CASCADE`);
  }
}

function tableSql(changes: Readonly<Record<string, string | null>> = {}, suffix = ''): string {
  const columns = Object.entries({ ...COLUMNS, ...changes }).filter(([, sql]) => sql !== null);
  return `CREATE TABLE events (${columns.map(([name, sql]) => `${name} ${sql}`).join(', ')}) ${suffix}`;
}

/** The listed differences of the table that the statement makes; [] when it fits. */
async function differences(sql: string): Promise<string[]> {
  return inFreshSchema(async (schema) => {
    await client.query(sql);
    try {
      const ensured = await ensureTable(client, events, { schema, name: 'events' });
      assert.equal(ensured.created, false);
      return [];
    } catch (error) {
      assert.ok(error instanceof MillraceError && error.code === 'table', String(error));
      const [first, ...list] = error.message.split('\n');
      if (first === `this user may not write to table ${schema}.events:`)
        assert.match(error.wayOut ?? '', /"millrace roles" prints the rights/);
      else {
        assert.equal(first, `table ${schema}.events exists but does not fit:`);
        assert.ok(error.wayOut?.includes('--table'));
      }
      return list.map((line) => line.replace('  - ', ''));
    }
  });
}

describe('a table that does not exist', () => {
  test('is created with key, comments and indexes, and fits from then on', async () => {
    assert.deepEqual(await ensureTable(client, events, NAME), {
      created: true,
      primaryKey: 'events_pkey',
      unreadable: [],
    });
    assert.deepEqual(await ensureTable(client, events, NAME), {
      created: false,
      primaryKey: 'events_pkey',
      unreadable: [],
    });
    const { rows: uncommented } = await client.query(
      `SELECT attname FROM pg_attribute
        WHERE attrelid = 'events'::regclass AND attnum > 0 AND col_description(attrelid, attnum) IS NULL`,
    );
    assert.deepEqual(uncommented, []);
    const { rows: indexes } = await client.query<{ name: string }>(
      `SELECT relname AS name FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = 'events'::regclass ORDER BY 1`,
    );
    assert.deepEqual(
      indexes.map(({ name }) => name),
      [
        'events_event_timestamp_idx',
        'events_event_type_idx',
        'events_pkey',
        'events_product_id_idx',
        'events_user_id_idx',
      ],
    );
  });

  test('has a created_at in UTC whatever the zone of the session', async () => {
    await client.query("SET TimeZone = 'Asia/Tokyo'");
    await client.query(
      "INSERT INTO events (event_id, event_type, event_timestamp) VALUES (gen_random_uuid(), 'view', now())",
    );
    const { rows } = await client.query<{ seconds: number }>(
      `SELECT extract(epoch FROM clock_timestamp() - created_at AT TIME ZONE 'UTC')::float8 AS seconds FROM events`,
    );
    await client.query('RESET TimeZone');
    assert.ok(rows[0] && Math.abs(rows[0].seconds) < 1800, JSON.stringify(rows));
  });

  test('gets its schema too, and names are taken as they are', async () => {
    const name = { schema: 'Odd "schema"', name: 'Odd; DROP TABLE "events"' };
    const ensured = await ensureTable(client, events, name);
    assert.equal(ensured.created, true);
    assert.deepEqual(await ensureTable(client, events, name), { ...ensured, created: false });
  });

  test('is created once by two starters at the same moment', async () => {
    const name = { schema: 'twice', name: 'events' };
    const clients = await Promise.all(Array.from({ length: 6 }, () => connect()));
    const results = await Promise.all(clients.map((one) => ensureTable(one, events, name)));
    assert.equal(results.filter(({ created }) => created).length, 1);
    await Promise.all(clients.map((one) => one.end()));
  });

  test('a user who may not create it is told so, and the connection stays usable', async () => {
    await inFreshSchema(async (schema) => {
      await client.query(`CREATE ROLE newcomer_${schema}; SET ROLE newcomer_${schema}`);
      await assert.rejects(
        ensureTable(client, events, { schema, name: 'events' }),
        (error: MillraceError) => {
          assert.equal(error.code, 'table');
          assert.match(error.message, /cannot be created/);
          assert.ok(error.cause instanceof pg.DatabaseError);
          return true;
        },
      );
      assert.equal((await client.query('SELECT 1')).rowCount, 1);
    });
  });

  test('an error of the connection passes through as it is', async () => {
    const broken = await connect();
    const { rows } = await broken.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    broken.on('error', () => undefined);
    await client.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
    await assert.rejects(
      ensureTable(broken, events, { schema: 'nowhere', name: 'events' }),
      (error) => !(error instanceof MillraceError),
    );
  });
});

describe('a table that exists', () => {
  test('fits with wider types, other collations, more columns and any order', async () => {
    assert.deepEqual(await differences(tableSql()), []);
    const wider = {
      product_id: 'text COLLATE "POSIX"',
      user_id: 'varchar(1000)',
      price: 'numeric',
      quantity: 'integer NOT NULL DEFAULT 0',
    };
    assert.deepEqual(await differences(tableSql(wider)), []);
    const more = {
      id: 'bigint GENERATED ALWAYS AS IDENTITY',
      note: 'text',
      tag: "text NOT NULL DEFAULT 'x'",
      total: 'numeric GENERATED ALWAYS AS (quantity * price) STORED',
    };
    assert.deepEqual(await differences(tableSql(more)), []);
    assert.deepEqual(
      await differences(
        `${tableSql()}; ALTER TABLE events DROP COLUMN price; ALTER TABLE events ADD price numeric(12,2)`,
      ),
      [],
    );
  });

  test('fits when it is partitioned by its key', async () => {
    const partition = 'CREATE TABLE events_0 PARTITION OF events FOR VALUES WITH (MODULUS 1, REMAINDER 0)';
    assert.deepEqual(await differences(`${tableSql({}, 'PARTITION BY HASH (event_id)')}; ${partition}`), []);
  });

  test('as Millrace itself makes it fits, also without the columns that the database fills', async () => {
    assert.deepEqual(
      await differences(createTableSql({ ...events, filled: [] }, NAME)[0]!.replace('"public".', '')),
      [],
    );
  });

  test('is refused with all its differences at once', async () => {
    const found = await differences(
      tableSql({
        event_id: 'text',
        event_type: 'varchar(15)',
        product_id: null,
        user_id: 'char(255)',
        event_timestamp: 'timestamptz',
        quantity: 'bigint',
        price: 'numeric(10,2)',
        shop: 'integer NOT NULL',
      }),
    );
    assert.deepEqual(found, [
      'column event_id is text, must be uuid',
      'column event_type is character varying(15), must be character varying(16) or longer, or text',
      'column product_id is missing, must be character varying(255) or longer, or text',
      'column user_id is character(255), must be character varying(255) or longer, or text',
      'column event_timestamp is timestamp with time zone, must be timestamp without time zone',
      'column quantity is bigint, must be integer',
      'column price is numeric(10,2), must be numeric(12,2) or wider',
      'column shop is NOT NULL without a default, and Millrace does not fill it',
      'has no primary key, must have PRIMARY KEY (event_id)',
    ]);
  });

  test('needs a primary key on exactly the key column, not deferrable', async () => {
    const key = (constraint: string) =>
      differences(
        tableSql({ event_id: 'uuid NOT NULL', constraint: `x CHECK (true), ${constraint}` }).replace(
          'constraint x',
          'CONSTRAINT x',
        ),
      );
    assert.deepEqual(await key('CONSTRAINT mine PRIMARY KEY (event_id)'), []);
    assert.deepEqual(await key('UNIQUE (event_id)'), [
      'has no primary key, must have PRIMARY KEY (event_id)',
    ]);
    assert.deepEqual(await key('PRIMARY KEY (event_id, event_timestamp)'), [
      'has PRIMARY KEY (event_id, event_timestamp), must have PRIMARY KEY (event_id)',
    ]);
    assert.deepEqual(await key('PRIMARY KEY (event_id) DEFERRABLE'), [
      'has a DEFERRABLE primary key, must be NOT DEFERRABLE: ON CONFLICT cannot use a deferrable one',
    ]);
  });

  test('must be a table that keeps its rows and takes COPY', async () => {
    assert.ok(
      (
        await differences(`${tableSql().replace('events', 'base')}; CREATE VIEW events AS SELECT * FROM base`)
      )[0]?.startsWith('is a view'),
    );
    assert.equal((await differences('CREATE SEQUENCE events'))[0], 'is a sequence, must be a table');
    assert.match(
      (await differences(tableSql().replace('CREATE', 'CREATE UNLOGGED')))[0] ?? '',
      /^is UNLOGGED/,
    );
    assert.deepEqual(await differences(tableSql({ price: 'numeric(12,2) GENERATED ALWAYS AS (1) STORED' })), [
      'column price is GENERATED: it cannot be written',
    ]);
    assert.deepEqual(
      await differences(`CREATE DOMAIN code AS text NOT NULL; ${tableSql({ shop: 'code' })}`),
      ['column shop is NOT NULL without a default, and Millrace does not fill it'],
    );
  });

  test('needs INSERT on our columns and SELECT on the key', async () => {
    const grants = async (grant: string) => {
      const role = `writer_${Math.floor(performance.now() * 1000)}`;
      return differences(
        `${tableSql()}; CREATE ROLE ${role}; ${grant.replaceAll('ROLE', role)}; SET ROLE ${role}`,
      );
    };
    const usage = "DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO ROLE', current_schema()); END $$";
    assert.deepEqual(
      await grants(`${usage}; GRANT INSERT ON events TO ROLE; GRANT SELECT (event_id) ON events TO ROLE`),
      [],
    );
    const found = await grants(
      `${usage}; GRANT INSERT (event_id, event_type, product_id, user_id, event_timestamp, quantity) ON events TO ROLE`,
    );
    assert.deepEqual(found, [
      'column event_id: this user has no SELECT privilege, which ON CONFLICT needs',
      'column price: this user has no INSERT privilege',
    ]);
    assert.ok(
      (await grants('GRANT INSERT, SELECT ON events TO ROLE'))[0]?.startsWith(
        'is in a schema that this user may not use',
      ),
    );
    const secured = await grants(
      `${usage}; GRANT INSERT, SELECT ON events TO ROLE; ALTER TABLE events ENABLE ROW LEVEL SECURITY`,
    );
    assert.deepEqual(secured, ['has row security for this user: PostgreSQL refuses COPY into it']);
  });
});
