// The environment of a measured child: ours, without anything that would choose another database, options of its own, or a test
// runner's reporter.

export function environmentOf(url: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(?:PG|MILLRACE_|DATABASE_URL$|NODE_OPTIONS$|NODE_TEST_CONTEXT$)/.test(name),
  );
  return { ...Object.fromEntries(kept), DATABASE_URL: url };
}
