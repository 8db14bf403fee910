// Variables that look like ours and mean nothing: said, not refused, since one environment may serve several versions and services. Values
// are judged in read.ts; names only are printed here.

import { COMMAND_NAMES, environmentName, optionsOf } from '../options.ts';
import { nearest } from './near.ts';

const PREFIX = 'MILLRACE_';

/** Read elsewhere: by src/failpoints.ts, and by tests. */
const OTHERS = /^MILLRACE_(?:FAILPOINT|FUZZ_[A-Z]+)$/;

/** What Kubernetes sets in every pod beside a service called millrace. */
const OF_KUBERNETES = /^MILLRACE_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT|PORT)(?:_[A-Z0-9_]+)?$/;

/** One sentence for each variable that is set and has no effect on any command. */
export function idleVariables(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  const specs = COMMAND_NAMES.flatMap(optionsOf).map(([, spec]) => spec);
  const known = new Set(specs.filter((spec) => spec.noEnvironment !== true).map(nameOf));
  const spoken = new Map(specs.map((spec) => [nameOf(spec), spec.flag]));
  return Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && env[name] !== '' && !known.has(name))
    .filter((name) => !OTHERS.test(name) && !OF_KUBERNETES.test(name))
    .toSorted()
    .map((name) => {
      const flag = spoken.get(name);
      if (flag !== undefined) return `${name} is ignored: --${flag} must be said each time`;
      const near = nearest(name, [...known]);
      const hint = near === undefined ? 'millrace --help lists what there is' : `did you mean ${near}?`;
      return `${name} is ignored: there is no such option; ${hint}`;
    });
}

function nameOf({ flag }: { readonly flag: string }): string {
  return environmentName(flag);
}
