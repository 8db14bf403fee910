// Keeps passwords out of everything that is printed or logged. One function, used at every way out; it knows where passwords
// stand in texts, not which texts have one.

/** `scheme://user:password@` */
const URL_PASSWORD = /([a-z][a-z0-9+.-]*:\/\/[^\s/?#:@]*):[^\s/?#]*@/gi;

/** `PGPASSWORD=secret`, `password: 'secret'`, `"password":"secret"`, `?password=secret` */
const NAMED_PASSWORD =
  /(\b(?:pgpassword|password|passwd|pwd)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s&,;"')}]+)/gi;

/** The same text with every password replaced by `***`. `known` are secrets to take out wherever they stand. */
export function redact(text: string, known: readonly string[] = []): string {
  const named = text.replace(URL_PASSWORD, '$1:***@').replace(NAMED_PASSWORD, '$1***');
  // Three characters: a shorter secret would take half of every sentence with it, and is none.
  return known
    .filter((secret) => secret.length > 3)
    .reduce((all, secret) => all.replaceAll(secret, '***'), named);
}

/**
 * The secrets that the environment holds, to be taken out wherever they stand: PGPASSWORD and the password in DATABASE_URL, each as written, decoded, as a URL and as JSON
 * write it. The longest first, so that none is left over in pieces.
 */
export function secretsOf(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  const text = env['DATABASE_URL'] ?? '';
  const url = URL.parse(text) ?? URL.parse(text.replace('@/', '@localhost/'));
  const written = url?.password ?? '';
  const plain = [env['PGPASSWORD'] ?? '', decoded(written), url?.searchParams.get('password') ?? ''];
  const all = [
    ...plain,
    written,
    ...plain.flatMap((secret) => [encodeURIComponent(secret.toWellFormed()), asJson(secret)]),
  ];
  const names = namesOf(env, url);
  return [...new Set(all)]
    .filter((secret) => secret !== '' && !names.has(secret))
    .toSorted((a, b) => b.length - a.length);
}

/**
 * What a password may equal and is printed all the same: masked wherever the user's name stands, it would be told, and every sentence
 * with that name be spoilt. Where a password stands as one, the patterns above take it out.
 */
function namesOf(env: Readonly<Record<string, string | undefined>>, url: URL | null): ReadonlySet<string> {
  const database = decoded(url?.pathname.slice(1) ?? '');
  const said = ['PGUSER', 'PGDATABASE', 'PGHOST', 'USER', 'LOGNAME'].map((name) => env[name] ?? '');
  return new Set([...said, decoded(url?.username ?? ''), database, url?.hostname ?? '']);
}

function asJson(secret: string): string {
  return JSON.stringify(secret).slice(1, -1);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return ''; // DATABASE_URL is judged elsewhere, with a sentence
  }
}
