// The import walls of Millrace as a plugin of the linter: which folder may import which, and what the pure folders may not
// touch. Not a style guide. `walls.test.ts` plants one violation per wall and sees the linter fail.

import { dirname, relative, resolve, sep } from 'node:path';

/** A room of the house and its place: a folder, or one of the files directly under `src/`. */
const ROOMS = [
  ['main', 'src/main.ts'],
  ['options', 'src/options.ts'],
  ['options', 'src/options/'],
  ['errors', 'src/errors.ts'],
  ['failpoints', 'src/failpoints.ts'],
  ['folders', 'src/folders.ts'],
  ['pipeline', 'src/pipeline.ts'],
  ['pool', 'src/pool.ts'],
  ['pacemaker', 'src/pacemaker.ts'],
  ['commands', 'src/commands/'],
  ['schema', 'src/schema/'],
  ['core', 'src/core/'],
  ['source', 'src/source/'],
  ['sink', 'src/sink/'],
  ['telemetry', 'src/telemetry/'],
  ['dashboard', 'src/dashboard/'],
  ['workers', 'workers/'],
  ['bench', 'bench/'],
  ['test', 'test/'],
] as const;

type Room = (typeof ROOMS)[number][0];

const FLOOR = ['errors', 'schema', 'core'] as const;
const PARTS = [
  ...FLOOR,
  'folders',
  'options',
  'pipeline',
  'pool',
  'pacemaker',
  'source',
  'sink',
  'telemetry',
  'dashboard',
] as const;

/** What a room may import besides itself. Imports go down only; nothing imports main, and only tests import bench. */
const MAY_IMPORT: Record<Room, readonly Room[]> = {
  main: ['commands', 'options', 'telemetry', 'errors'],
  commands: PARTS,
  dashboard: ['telemetry', ...FLOOR],
  pipeline: ['core', 'errors'],
  pool: FLOOR,
  pacemaker: FLOOR,
  source: [...FLOOR, 'failpoints', 'folders'],
  sink: [...FLOOR, 'failpoints', 'folders'],
  workers: [...FLOOR, 'failpoints'],
  telemetry: FLOOR,
  core: ['schema', 'errors'],
  schema: ['errors'],
  options: ['errors'],
  errors: [],
  failpoints: ['errors'],
  folders: [],
  bench: ['commands', 'workers', ...PARTS],
  test: ['commands', 'workers', 'bench', 'failpoints', ...PARTS],
};

/** Files of which a room may use the types, and only those: it is handed the opened things. */
const MAY_IMPORT_TYPES: Partial<Record<Room, readonly string[]>> = {
  pipeline: ['src/source/source.ts', 'src/sink/sink.ts', 'src/pool.ts', 'src/pacemaker.ts', 'src/telemetry/'],
  pool: ['workers/'],
  options: ['src/schema/table.ts'],
};

/** Rooms that open nothing, and packages that open something. */
const OPENS_NOTHING: readonly Room[] = ['schema', 'core', 'pipeline'];
const OPENERS = ['pg', 'pg-copy-streams', 'pino', 'chokidar', 'piscina'];
const PURE_BUILTINS = [
  'node:buffer',
  'node:crypto',
  'node:zlib',
  'node:util',
  'node:assert',
  'node:string_decoder',
];

/** Rooms whose results depend on their arguments alone: no clock, no chance, no environment, no later. */
const PURE: readonly Room[] = ['schema', 'core'];
const IMPURE_GLOBALS = [
  'process',
  'performance',
  'console',
  'fetch',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
];
const IMPURE_MEMBERS = ['Date.now', 'Math.random', 'crypto.randomUUID', 'crypto.getRandomValues'];

/** The room of a file, by its path relative to the root of the project; undefined outside the house. */
export function roomOf(path: string): Room | undefined {
  return ROOMS.find(([, place]) => (place.endsWith('/') ? path.startsWith(place) : path === place))?.[0];
}

/**
 * Why `from` may not import `specifier`, as a sentence; undefined when it may. `from` is relative to the root and uses `/`.
 */
export function faultOfImport(from: string, specifier: string, typesOnly: boolean): string | undefined {
  const room = roomOf(from);
  if (room === undefined)
    return from.startsWith('src/')
      ? `${from} is in no room that the walls know: add it to test/toolchain/walls.ts`
      : undefined;
  if (!specifier.startsWith('.')) return faultOfPackage(room, specifier);
  const target = resolve('/', dirname(from), specifier).slice(1);
  const targetRoom = roomOf(target);
  if (targetRoom === undefined) return `${room} may not import ${target}: it is no room of the house`;
  if (targetRoom === room || MAY_IMPORT[room].includes(targetRoom)) return undefined;
  const types = MAY_IMPORT_TYPES[room]?.some((place) => target.startsWith(place)) ?? false;
  if (types && typesOnly) return undefined;
  return types
    ? `${room} may use only types of ${targetRoom} (import type): it is handed the things themselves`
    : `${room} may not import ${targetRoom} (${target}): imports go down only, see ARCHITECTURE.md`;
}

function faultOfPackage(room: Room, specifier: string): string | undefined {
  if (!OPENS_NOTHING.includes(room)) return undefined;
  if (specifier.startsWith('node:')) {
    return PURE_BUILTINS.includes(specifier)
      ? undefined
      : `${room} opens nothing: it may not import ${specifier}`;
  }
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  return OPENERS.includes(name) ? `${room} opens nothing: it may not import ${specifier}` : undefined;
}

// The few shapes of the linter's syntax tree (ESTree) that the two rules look at.
type Node = { type: string };
type Literal = Node & { value?: unknown };
type Imported = Node & {
  importKind?: string;
  exportKind?: string;
  specifiers?: Imported[];
  source?: Literal | null;
};
type Name = Node & { name?: string };
type Member = Node & { object: Name; property: Name; computed: boolean };
type Scope = { through: { identifier: Name }[] };
type Context = {
  filename: string;
  cwd: string;
  report: (fault: { node: Node; message: string }) => void;
  sourceCode: { scopeManager: { globalScope: Scope | null } };
};

function pathOf(context: Context): string {
  return relative(context.cwd, context.filename).split(sep).join('/');
}

/** Not `import { type A }`: that leaves a bare import at run time. */
function isTypesOnly(node: Imported): boolean {
  return node.importKind === 'type' || node.exportKind === 'type';
}

const imports = {
  create(context: Context) {
    const from = pathOf(context);
    const judge = (node: Imported): void => {
      if (node.source === null || node.source === undefined) return;
      const specifier = typeof node.source.value === 'string' ? node.source.value : undefined;
      const message =
        specifier === undefined
          ? 'an import must name its module as a plain string, so that the walls can be checked'
          : faultOfImport(from, specifier, isTypesOnly(node));
      if (message !== undefined) context.report({ node, message });
    };
    return {
      ImportDeclaration: judge,
      ImportExpression: judge,
      ExportNamedDeclaration: judge,
      ExportAllDeclaration: judge,
      TSImportType: (node: Node & { source?: Literal }) => judge({ ...node, importKind: 'type' }),
    };
  },
};

const pure = {
  create(context: Context) {
    const room = roomOf(pathOf(context));
    if (room === undefined || !PURE.includes(room)) return {};
    const report = (node: Node, what: string): void =>
      context.report({ node, message: `${room} is deterministic: ${what} must be handed in by the caller` });
    return {
      Program() {
        for (const { identifier } of context.sourceCode.scopeManager.globalScope?.through ?? []) {
          if (IMPURE_GLOBALS.includes(identifier.name ?? '')) report(identifier, identifier.name ?? '');
        }
      },
      MemberExpression(node: Member) {
        const name = `${node.object.name ?? ''}.${node.property.name ?? ''}`;
        if (!node.computed && IMPURE_MEMBERS.includes(name)) report(node, name);
      },
      NewExpression(node: Node & { callee: Name; arguments: Node[] }) {
        if (node.callee.name === 'Date' && node.arguments.length === 0) report(node, 'the time of day');
      },
    };
  },
};

export default { meta: { name: 'walls' }, rules: { imports, pure } };
