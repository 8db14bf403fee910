// Environment variables that would change the packages underneath: taken out, or named in the log. A leaf: it is loaded before any of them.

/** Their packages would obey these behind our options' back: `--watch` decides on polling, and `pg` is the one in JavaScript. */
const PINNED = ['CHOKIDAR_USEPOLLING', 'CHOKIDAR_INTERVAL', 'NODE_PG_FORCE_NATIVE'] as const;

/** What changes Node.js, TLS or the connection, and is left to the person who set it. */
const TELLING =
  /^(?:PG[A-Z_]+|NODE_OPTIONS|NODE_EXTRA_CA_CERTS|NODE_TLS_REJECT_UNAUTHORIZED|UV_THREADPOOL_SIZE|SSL_CERT_(?:FILE|DIR))$/;

/** Takes the pinned variables out and sets the time zone to UTC, for this process and its threads. Before any package is loaded. */
export function pinEnvironment(env: NodeJS.ProcessEnv): void {
  for (const name of PINNED) delete env[name];
  env['TZ'] = 'UTC';
}

/** One sentence for the log: which variables are set that change what happens. Names only: values may be secrets. */
export function tellingVariables(env: Readonly<Record<string, string | undefined>>): string | null {
  const names = Object.keys(env).filter((name) => TELLING.test(name) && env[name] !== '');
  return names.length === 0 ? null : `set in the environment: ${names.toSorted().join(', ')}`;
}
