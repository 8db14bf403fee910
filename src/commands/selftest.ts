// `millrace selftest`: the promise, proven on the user's own machine and server. Files are generated, runs are killed with SIGKILL at random
// moments, and at the end `verify` compares everything; the generator's own figures are the third witness.

import { randomInt } from 'node:crypto';
import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { SelftestOptions } from '../options.ts';
import { events } from '../schema/events.ts';
import { resolveTarget } from '../sink/postgres/target.ts';
import { openScreen } from '../telemetry/screen.ts';
import { count, counted, timeText } from '../telemetry/text.ts';
import { allSources } from './books/open.ts';
import { createFinder } from './books/content.ts';
import type { CommandIo } from './command.ts';
import { runRounds } from './selftest/rounds.ts';
import type { Tally } from './selftest/rounds.ts';
import { makeScratch } from './selftest/scratch.ts';
import type { Scratch } from './selftest/scratch.ts';
import { progressOn, reportText, totalOf } from './verify.ts';
import { balance } from './verify/balance.ts';
import type { Findings } from './verify/report.ts';

const SEED_END = 2 ** 32;

/** Exit 1 when the promise did not hold. @throws {MillraceError} */
export async function selftest(options: SelftestOptions, io: CommandIo): Promise<ExitCode> {
  const beganMs = performance.now();
  const seed = options.seed ?? randomInt(SEED_END);
  const screen = openScreen(io.stderr, io.env);
  const say = (line: string): void => screen.print(`millrace: ${line}`);
  await using closing = new AsyncDisposableStack();
  const target = await resolveTarget(io.env, options.dataDir, { keepDatabase: false, say });
  closing.defer(() => target.close());
  const scratch = await makeScratch(target, io.env);
  say(`killing runs for ${options.minutes} min in scratch database ${scratch.database} (seed ${seed})`);
  let held = false;
  try {
    const tally = await runRounds({
      scratch,
      seed,
      untilMs: beganMs + options.minutes * 60_000,
      signal: io.signal,
      say: ({ kills, rounds, records }) =>
        screen.show(`round ${rounds}: ${counted(kills, 'kill')}, ${counted(records, 'record')} written`),
    });
    if (io.signal.aborted) {
      held = true; // nothing was shown to be wrong: nothing to look at
      return EXIT.interrupted;
    }
    screen.show(null);
    say('verifying');
    const findings = await verified(scratch, io.signal, progressOn(screen));
    screen.show(null);
    if (io.signal.aborted) {
      held = true;
      return EXIT.interrupted;
    }
    const failures = compare(tally, findings);
    held = findings.count === 0 && failures.length === 0;
    const seconds = (performance.now() - beganMs) / 1000;
    const text = held
      ? proof(tally, findings, seed, seconds)
      : `${reportText(findings)}${failures.join('\n')}\n`;
    (options.json ? io.stderr : io.stdout).write(text);
    if (options.json)
      io.stdout.write(`${JSON.stringify(summaryOf(tally, findings, { held, seed, seconds }))}\n`);
    return held ? EXIT.done : EXIT.found;
  } finally {
    screen.show(null);
    if (held) await scratch.remove();
    else {
      await scratch.keep().catch(() => undefined); // the connection may be gone
      say(`database ${scratch.database} and folder ${scratch.folder} stay for a look`);
    }
  }
}

async function verified(
  { client, folder }: Scratch,
  signal: AbortSignal,
  progress: (name: string, bytes: number, of: number) => void,
): Promise<Findings> {
  const [source] = await allSources(client);
  return balance({
    client,
    table: events,
    tableName: { schema: 'public', name: events.name },
    sourceId: source?.id ?? 0,
    finder: createFinder({ inputDir: folder, archiveDir: null, unpackDir: folder, unpackedBytesMax: 0 }),
    only: null,
    allowUnknownRows: false,
    signal,
    progress,
  });
}

/** The books against the generator: another witness than the files and the table. */
function compare(tally: Tally, { sheets }: Findings): string[] {
  const copies = new Set(tally.again);
  const total = totalOf(sheets);
  const again = totalOf(sheets.filter(({ name }) => copies.has(name)));
  const pairs = [
    ['records', total.records - again.records, tally.records],
    // A copy may be read before its original: then its records are the ones that were inserted.
    ['inserted', total.inserted, tally.inserted],
    ['rejected', total.rejected - again.rejected, tally.rejected],
    ['duplicates', total.duplicates - (again.records - again.rejected), tally.duplicates],
    ['files', sheets.length, tally.files],
  ] as const;
  return pairs
    .filter(([, booked, foretold]) => booked !== foretold)
    .map(
      ([what, booked, foretold]) => `${what}: the books say ${booked}, the generator foretold ${foretold}`,
    );
}

function proof(tally: Tally, { sheets }: Findings, seed: number, seconds: number): string {
  const { records, inserted, duplicates, rejected } = totalOf(sheets);
  const lines = [
    'the promise held',
    `  killed          ${counted(tally.kills, 'run')} with SIGKILL at random moments, ${count(tally.killsAtWork)} of them with records still unread`,
    `  read            ${counted(records, 'record')} of ${counted(tally.files, 'file')}, ${counted(tally.again.length, 'file')} of these sent again`,
    `  booked          ${count(inserted)} inserted + ${count(duplicates)} duplicates + ${count(rejected)} rejected = ${count(inserted + duplicates + rejected)}`,
    `  lost, twice     0 and 0: every file was read again by other code; each record is in the table, a duplicate of a row, or in quarantine`,
    `  foretold        the generator knew the same figures before`,
    `  seed and time   ${seed}; ${timeText(seconds * 1000)}`,
  ];
  return `${lines.join('\n')}\n`;
}

/** What `--json` prints. */
function summaryOf(
  tally: Tally,
  findings: Findings,
  rest: { readonly held: boolean; readonly seed: number; readonly seconds: number },
): unknown {
  const { records, inserted, duplicates, rejected } = totalOf(findings.sheets);
  const { rounds, kills, killsAtWork, files } = tally;
  const seconds = Math.round(rest.seconds * 1000) / 1000;
  const counts = { files, records, inserted, duplicates, rejected };
  return { ...rest, seconds, rounds, kills, killsAtWork, ...counts, differences: findings.count };
}
