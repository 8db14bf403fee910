// Nasty CSV that other people have collected, as npm carries it: csv-spectrum, and the inputs of papaparse's own tests. Texts only; what
// must become of them is said by the tests that read them.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runInNewContext } from 'node:vm';

export interface Sample {
  readonly name: string;
  readonly bytes: Buffer;
}

export function corpora(): Sample[] {
  return [...spectrum(), ...papaparseFiles(), ...papaparseCases()];
}

function spectrum(): Sample[] {
  return filesIn(join(dirname(fileURLToPath(import.meta.resolve('csv-spectrum'))), 'csvs'), 'spectrum');
}

function papaparseFiles(): Sample[] {
  return filesIn(join(dirname(fileURLToPath(import.meta.resolve('papaparse'))), 'tests'), 'papaparse');
}

function filesIn(folder: string, prefix: string): Sample[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.csv'))
    .map((name) => ({ name: `${prefix}-${name}`, bytes: readFileSync(join(folder, name)) }));
}

/** Its file of cases defines global arrays; the libraries that it asks for are not needed to read them. */
function papaparseCases(): Sample[] {
  const source = readFileSync(
    join(dirname(fileURLToPath(import.meta.resolve('papaparse'))), 'tests', 'test-cases.js'),
    'utf8',
  );
  const nothing = (): void => {};
  const context: Record<string, unknown> = {
    module: { exports: {} },
    require: () => ({ assert: {}, RECORD_SEP: '\x1e', UNIT_SEP: '\x1f' }),
    describe: Object.assign(nothing, { skip: nothing }),
    __dirname: '',
  };
  runInNewContext(source, context, { timeout: 5_000 });
  const cases = Object.entries(context).filter(([name]) => name.endsWith('_TESTS'));
  return cases.flatMap(([name, list]) =>
    inputsOf(list).map((text, index) => ({
      name: `${name.toLowerCase()}-${index}.csv`,
      bytes: Buffer.from(text),
    })),
  );
}

function inputsOf(list: unknown): string[] {
  const entries = Array.from(list as Iterable<{ readonly input?: unknown }>);
  return entries.map(({ input }) => input).filter((input) => typeof input === 'string');
}
