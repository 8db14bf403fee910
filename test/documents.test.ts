// What the documents for people say about the code is true: names, paths, targets, options, codes. `UPDATE=1 node --test
// test/documents.test.ts` writes the rendered tables into README.md. Not for what the program prints or does.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { EXIT } from '../src/errors.ts';
import { COMMAND_NAMES, OPTIONS } from '../src/options.ts';
import {
  DOCUMENTS,
  RENDERED,
  ROOT,
  anchorsOf,
  blockOf,
  bodyCells,
  engineTablesIn,
  firstCells,
  flagsIn,
  internalLinks,
  makeTargets,
  pathsIn,
  readDocument,
  targetsIn,
  treePaths,
  updateReadme,
} from './support/documents.ts';

if (process.env['UPDATE'] === '1') updateReadme();

for (const [name, render] of Object.entries(RENDERED)) {
  test(`the table of ${name} in README.md is what the code renders`, () => {
    const hint = 'UPDATE=1 node --test test/documents.test.ts writes it anew';
    assert.equal(blockOf(readDocument('README.md'), name), render().trim(), hint);
  });
}

test('README.md lists the exit codes of the program, and no others', () => {
  const listed = firstCells(blockOf(readDocument('README.md'), 'exits')).map(Number);
  assert.deepEqual(
    listed.toSorted((a, b) => a - b),
    Object.values(EXIT).toSorted((a, b) => a - b),
  );
});

test('README.md lists every command', () => {
  const listed = firstCells(blockOf(readDocument('README.md'), 'commands')).map((cell) => cell.split(' ')[0]);
  assert.deepEqual(listed, [...COMMAND_NAMES]);
});

for (const document of DOCUMENTS) {
  test(`every path that ${document} names exists`, () => {
    const missing = pathsIn(readDocument(document)).filter((path) => !existsSync(join(ROOT, path)));
    assert.deepEqual(missing, []);
  });

  test(`every make target that ${document} names exists`, () => {
    const targets = makeTargets();
    assert.deepEqual(
      targetsIn(readDocument(document)).filter((target) => !targets.includes(target)),
      [],
    );
  });

  test(`every link in ${document} that stays in the repository leads somewhere`, () => {
    const broken = internalLinks(document, readDocument(document)).filter(({ path, anchor }) => {
      if (!existsSync(join(ROOT, path))) return true;
      return anchor !== null && !anchorsOf(readDocument(path)).includes(anchor);
    });
    assert.deepEqual(broken, []);
  });

  test(`${document} names only engine tables that sql/ or the program makes`, () => {
    const made = engineTables();
    assert.deepEqual(
      engineTablesIn(readDocument(document)).filter((table) => !made.includes(table)),
      [],
    );
  });
}

test('README.md names no option that does not exist', () => {
  // Options of make, node, npm, git and psql that the README tells people to type.
  const foreign = ['test', 'test-name-pattern', 'help', 'version'];
  const known: readonly string[] = [...Object.values(OPTIONS).map((spec) => spec.flag), ...foreign];
  assert.deepEqual(
    flagsIn(readDocument('README.md')).filter((flag) => !known.includes(flag)),
    [],
  );
});

test('every path in the tree of ARCHITECTURE.md exists, and every folder of the program stands in it', () => {
  const paths = treePaths(blockOf(readDocument('ARCHITECTURE.md'), 'house').replaceAll(/^```.*$/gm, ''));
  assert.deepEqual(
    paths.filter((path) => !existsSync(join(ROOT, path))),
    [],
  );
  assert.deepEqual(
    programFolders().filter((folder) => !paths.includes(folder)),
    [],
  );
});

test('every number in the speed table of README.md is a cell of the report in BENCHMARKS.md', () => {
  const measured = new Set(bodyCells(blockOf(readDocument('BENCHMARKS.md'), 'report')).flat());
  const claimed = bodyCells(blockOf(readDocument('README.md'), 'speed'))
    .flatMap(([, ...numbers]) => numbers)
    .filter(Boolean);
  assert.ok(claimed.length > 0);
  assert.deepEqual(
    claimed.filter((number) => !measured.has(number)),
    [],
  );
});

test('no document names the machine or the workplace it was written on', () => {
  for (const document of DOCUMENTS)
    assert.doesNotMatch(readDocument(document), /\/work\/|\/tmp\/helpers|\/root\//, document);
});

/** Every folder below the program's tops, as the tree writes them. */
function programFolders(): string[] {
  const tops = ['src', 'workers'];
  const below = tops.flatMap((top) =>
    readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' })
      .map((name) => join(top, name))
      .filter((name) => statSync(join(ROOT, name)).isDirectory()),
  );
  return [...tops, ...below].map((folder) => `${folder}/`);
}

/** Tables and views of schema millrace; `migrations` is made by the program itself, before any file is applied. */
function engineTables(): string[] {
  const sql = readdirSync(join(ROOT, 'sql')).map((name) => readFileSync(join(ROOT, 'sql', name), 'utf8'));
  const made = sql.join('\n').matchAll(/CREATE (?:TABLE|VIEW) millrace\.([a-z_]+)/g);
  return [...made].map(([, table = '']) => table).concat('migrations');
}
