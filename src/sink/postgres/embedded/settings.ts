// The server's settings, each with its reason. Written to a file at every start, which the cluster's postgresql.conf
// includes: so a later version's settings reach existing data folders, and a person's ALTER SYSTEM still wins.
import { totalmem } from 'node:os';

const MiB = 2 ** 20;

/** The text of `millrace.conf`. */
export function settingsText(): string {
  const lines = Object.entries(serverSettings()).map(([name, value]) => `${name} = '${value}'`);
  return [
    '# Written by Millrace at every start; change settings with ALTER SYSTEM instead.',
    ...lines,
    '',
  ].join('\n');
}

/** Chosen for a machine with 2 cores and 24 GiB, and harmless on a laptop. fsync stays on: the data are real. */
function serverSettings(memoryBytes = memoryOfMachine()): Readonly<Record<string, string>> {
  return {
    // The index pages that random UUIDs touch should stay in memory: about 150 MB per million events.
    shared_buffers: `${sharedBuffersMiB(memoryBytes)}MB`,
    // Fewer checkpoints, so fewer full-page images; bounds the WAL on disk, and recovery after kill -9 to some 10 s.
    max_wal_size: '2GB',
    min_wal_size: '128MB',
    checkpoint_timeout: '15min',
    // wal_compression stays off: the build has neither lz4 nor zstd, and pglz took 13.6 s of processor time against 10.4 s for 1 M rows.
    wal_buffers: '16MB',
    // Index builds of the first load and user queries; taken only while they run.
    maintenance_work_mem: '128MB',
    work_mem: '16MB',
    // The whole machine belongs to one program's database: the planner may count on the page cache.
    effective_cache_size: `${Math.max(256, Math.floor(memoryBytes / MiB / 2))}MB`,
    random_page_cost: '1.1', // SSDs
    max_connections: '100',
    superuser_reserved_connections: '3',
    password_encryption: 'scram-sha-256',
    unix_socket_permissions: '0700',
    // Same meaning of every timestamp, wherever the server runs.
    timezone: 'UTC',
    log_timezone: 'UTC',
    // Standard error is a file already; the collector would be one process more.
    logging_collector: 'off',
    log_line_prefix: '%m [%p] %a ',
    // Rejected rows carry users' data: keep statements and their values out of the log.
    log_min_error_statement: 'panic',
    log_parameter_max_length_on_error: '0',
    log_error_verbosity: 'terse',
  };
}

/** A sixteenth of the memory, from 128 MB to 1 GB; pages are taken only once used. */
function sharedBuffersMiB(memoryBytes: number): number {
  return Math.min(1024, Math.max(128, Math.floor(memoryBytes / MiB / 16)));
}

/** What this process may use: a container's limit counts, where there is one. */
function memoryOfMachine(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
