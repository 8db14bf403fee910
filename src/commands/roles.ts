// `millrace roles`: prints roles with the least rights that work, as SQL. Touches no database; what the SQL says is in
// sink/postgres/roles.ts.

import { EXIT } from '../errors.ts';
import type { ExitCode } from '../errors.ts';
import type { RolesOptions } from '../options.ts';
import { events } from '../schema/events.ts';
import { rolesSql } from '../sink/postgres/roles.ts';
import type { CommandIo } from './command.ts';

export function roles(options: RolesOptions, io: CommandIo): Promise<ExitCode> {
  io.stdout.write(rolesSql(events, options.table, options.rolePrefix));
  return Promise.resolve(EXIT.done);
}
