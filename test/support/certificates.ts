// Certificates for tests of TLS, made by the machine's openssl: an authority, and what it signs. Not for reading certificates.

import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A sentence for skipping, or undefined when certificates can be made here. */
export function withoutOpenssl(): string | undefined {
  const found = spawnSync('openssl', ['version'], { stdio: 'ignore' }).status === 0;
  return found ? undefined : 'openssl is not installed here, so no certificates can be made';
}

export interface Authority {
  /** Its certificate in PEM: what a client trusts. */
  readonly file: string;
  /** A certificate for these names, e.g. `DNS:localhost,IP:127.0.0.1`, and its key. A negative life has ended already. */
  sign(name: string, names: string, days?: number): Certificate;
}

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** An authority of a test's own, in an existing folder. */
export function makeAuthority(folder: string, name: string): Authority {
  const openssl = (...args: string[]): unknown =>
    execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const [caCert, caKey] = [`${name}.pem`, `${name}.key`];
  const authority = ['-x509', '-days', '2', '-subj', `/CN=${name}`, '-keyout', caKey, '-out', caCert];
  openssl('req', ...NEW_KEY, ...authority);
  const sign: Authority['sign'] = (leaf, names, days = 1) => {
    writeFileSync(join(folder, `${leaf}.ext`), `subjectAltName=${names}\n`);
    openssl('req', ...NEW_KEY, '-subj', `/CN=${leaf}`, '-keyout', `${leaf}.key`, '-out', `${leaf}.csr`);
    const signing = ['-CA', caCert, '-CAkey', caKey, '-CAcreateserial', '-days', String(days)];
    openssl(
      'x509',
      '-req',
      '-in',
      `${leaf}.csr`,
      ...signing,
      '-extfile',
      `${leaf}.ext`,
      '-out',
      `${leaf}.pem`,
    );
    return { cert: join(folder, `${leaf}.pem`), key: join(folder, `${leaf}.key`) };
  };
  return { file: join(folder, caCert), sign };
}
