// The roles of Millrace with the least rights that work, as SQL for an administrator to read and run: `owner` makes and changes the
// tables, `ingest` runs, `operator` repairs what is in them, `read` looks. Text only: Millrace itself makes no role and grants nothing.

import { MillraceError } from '../../errors.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from '../../schema/ddl.ts';
import type { TableDefinition, TableName } from '../../schema/table.ts';

/** What `run` does with each table of the books. A migration that adds a table adds it here; a test compares. */
export const INGEST_RIGHTS: Readonly<Record<string, string>> = {
  migrations: 'SELECT',
  leases: 'SELECT, INSERT, UPDATE',
  files: 'SELECT, INSERT, UPDATE',
  batches: 'SELECT, INSERT',
  slices: 'SELECT, INSERT, UPDATE, DELETE',
  rejects: 'SELECT, INSERT',
  deferred_indexes: 'SELECT',
  file_totals: 'SELECT',
};

/** What `rejects replay`, `resume`, `undo`, `prune` and `reset --checkpoint` do with them. No DDL and no TRUNCATE: that is the owner's. */
export const OPERATOR_RIGHTS: Readonly<Record<string, string>> = {
  migrations: 'SELECT',
  leases: 'SELECT, UPDATE',
  files: 'SELECT, UPDATE, DELETE',
  batches: 'SELECT, INSERT, UPDATE, DELETE',
  slices: 'SELECT, UPDATE, DELETE',
  rejects: 'SELECT, UPDATE, DELETE',
  deferred_indexes: 'SELECT',
  file_totals: 'SELECT',
};

const SUFFIXES = ['owner', 'ingest', 'operator', 'read'] as const;
export type Role = (typeof SUFFIXES)[number];
type Roles = Readonly<Record<Role, string>>;

/**
 * The whole script. It may be run again at any time: before the tables are there it makes the roles and schemas, afterwards it grants.
 * `prefix` begins the names of the roles. Throws MillraceError 'usage' when a name would be too long.
 */
export function rolesSql(table: TableDefinition, name: TableName, prefix: string): string {
  const roles = namesOf(prefix);
  const parts = [
    HEADING,
    ...SUFFIXES.map((suffix) => createRole(roles[suffix], suffix)),
    databaseRights(roles, name.schema),
    ...schemaRights(roles, name.schema),
    bookRights(roles),
    tableRights(roles, table, name),
    'COMMIT;',
  ];
  return `${parts.join('\n\n')}\n`;
}

const HEADING = `-- Roles for Millrace, for a superuser to read and to run in the database that it writes to:
--   1. this script: makes roles and schemas
--   2. a password for each role, for example with \\password in psql, and TLS or a socket to use it over
--   3. "millrace migrate" as the owner: makes the tables; again after each update of Millrace
--   4. this script again, after each migration: grants what the tables need
-- Then each command works as one of them:
--   ingest    run
--   operator  verify, why, diff, rejects replay, resume, undo, prune, reset --checkpoint, and whatever read may
--   read      status, rejects list, rejects export
--   owner     migrate, and reset of the events; it may drop all of it, so give it to nobody who has no need of that
-- The ingest role reads the columns that it fills: only so can it tell a repeated event from another one under the same key. Take
-- that away (REVOKE SELECT) and "run" says at its start that it cannot tell them apart.
-- How far replicas are behind it sees only with GRANT pg_read_all_stats, which shows all sessions' queries too: yours to decide. Without it
-- "run --throttle auto" looks at the duration of its own commits alone.
BEGIN;`;

function namesOf(prefix: string): Roles {
  const named = (suffix: string): string => {
    const name = `${prefix}_${suffix}`;
    if (Buffer.byteLength(name) <= 63) return quoteIdentifier(name);
    throw new MillraceError(
      'usage',
      `--role-prefix: ${name} is longer than the 63 bytes of a name in PostgreSQL`,
    );
  };
  return {
    owner: named('owner'),
    ingest: named('ingest'),
    operator: named('operator'),
    read: named('read'),
  };
}

const COMMENTS = {
  owner: 'Millrace: owns the books and the table; migrates and resets.',
  ingest: 'Millrace: what a run needs, and nothing else.',
  operator: 'Millrace: replays, resumes, undoes, prunes and verifies; changes no table.',
  read: 'Millrace: reads the table and the books.',
};

function createRole(role: string, suffix: keyof Roles): string {
  const literal = quoteLiteral(role.slice(1, -1).replaceAll('""', '"'));
  return `DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${literal}) THEN
    CREATE ROLE ${role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
  END IF;
END $$;
COMMENT ON ROLE ${role} IS ${quoteLiteral(COMMENTS[suffix])};`;
}

/** The name of the database is known only where the script runs. The path is fixed: nobody can slip another table or function in. */
function databaseRights({ owner, ingest, operator, read }: Roles, schema: string): string {
  const each = [owner, ingest, operator, read].map(
    (role) =>
      `  EXECUTE format('ALTER ROLE ${role} IN DATABASE %I SET search_path = pg_catalog, ${quoteIdentifier(schema)}, pg_temp', here);`,
  );
  return `DO $$ DECLARE here text := current_database(); BEGIN
  EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', here);
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO ${owner}, ${ingest}, ${operator}, ${read}', here);
  -- Rows whose key may be stored already go through a temporary table; "undo", "prune", "verify", "why" and "diff" list what they compare in one.
  EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO ${owner}, ${ingest}, ${operator}', here);
  -- Add the schemas that your own triggers on the table need.
${each.join('\n')}
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;`;
}

function schemaRights({ owner, ingest, operator, read }: Roles, schema: string): string[] {
  const target = quoteIdentifier(schema);
  const others = [ingest, operator, read].join(', ');
  return [
    `CREATE SCHEMA IF NOT EXISTS millrace AUTHORIZATION ${owner};
ALTER SCHEMA millrace OWNER TO ${owner};
REVOKE ALL ON SCHEMA millrace FROM PUBLIC;
GRANT USAGE ON SCHEMA millrace TO ${others};
ALTER DEFAULT PRIVILEGES FOR ROLE ${owner} IN SCHEMA millrace GRANT SELECT ON TABLES TO ${operator}, ${read};`,
    `CREATE SCHEMA IF NOT EXISTS ${target};
GRANT USAGE, CREATE ON SCHEMA ${target} TO ${owner};
REVOKE CREATE ON SCHEMA ${target} FROM ${others};
GRANT USAGE ON SCHEMA ${target} TO ${others};`,
  ];
}

/** Only what is there: the tables come with `migrate`. Books that another role made before become the owner's. */
function bookRights({ owner, ingest, operator, read }: Roles): string {
  const rights = Object.entries(INGEST_RIGHTS).map(
    ([name, granted]) => `('${name}', '${granted}', '${OPERATOR_RIGHTS[name] ?? 'SELECT'}')`,
  );
  return `DO $$ DECLARE book record; BEGIN
  FOR book IN SELECT c.relname AS name, coalesce(r.ingest, 'SELECT') AS ingest, coalesce(r.operator, 'SELECT') AS operator
      FROM pg_catalog.pg_class c
      LEFT JOIN (VALUES ${rights.join(',\n        ')}) AS r (name, ingest, operator) ON r.name = c.relname
      WHERE c.relnamespace = 'millrace'::regnamespace AND c.relkind IN ('r', 'p', 'v') ORDER BY c.relname LOOP
    EXECUTE format('ALTER TABLE millrace.%I OWNER TO ${owner}', book.name);
    EXECUTE format('REVOKE ALL ON millrace.%I FROM PUBLIC, ${ingest}, ${operator}, ${read}', book.name);
    EXECUTE format('GRANT %s ON millrace.%I TO ${ingest}', book.ingest, book.name);
    EXECUTE format('GRANT %s ON millrace.%I TO ${operator}', book.operator, book.name);
    EXECUTE format('GRANT SELECT ON millrace.%I TO ${read}', book.name);
  END LOOP;
END $$;`;
}

/** INSERT and SELECT on the columns that a file may bring: ON CONFLICT needs the key, and telling conflicts from repeats the others. */
function tableRights({ ingest, operator, read }: Roles, table: TableDefinition, name: TableName): string {
  const target = quoteTable(name);
  const columns = table.columns.map((column) => quoteIdentifier(column.name)).join(', ');
  return `DO $$ BEGIN
  IF to_regclass(${quoteLiteral(target)}) IS NOT NULL THEN
    REVOKE ALL ON ${target} FROM PUBLIC, ${ingest}, ${operator}, ${read};
    GRANT INSERT (${columns}), SELECT (${columns}) ON ${target} TO ${ingest};
    -- All of it to read: rows are traced by xmin, which is no column of its own.
    GRANT INSERT (${columns}), SELECT, DELETE ON ${target} TO ${operator};
    GRANT SELECT ON ${target} TO ${read};
  END IF;
END $$;`;
}
