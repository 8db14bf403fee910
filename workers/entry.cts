// What piscina loads in every worker thread, by the name of a task's kind. CommonJS on purpose, the only file that is: piscina tries require() before
// import(), and Node 24 aborts the whole process where a thread is ended while it requires an ES module ("facade->InstantiateModule" in
// src/module_wrap.cc; one of some 750 ends at the wrong moment, which a short `run --once` meets). A thread that is ended while it imports just ends.

// oxlint-disable-next-line import/no-commonjs -- see above
module.exports = {
  get parse() {
    return import('./parse.ts').then(({ parse }) => parse, cannotLoad);
  },
  get generate() {
    return import('./generate.ts').then(({ generate }) => generate, cannotLoad);
  },
};

/** Piscina would keep silent about it and call the thread ready: so each task is told, in words that src/pool.ts knows. */
function cannotLoad(cause: unknown): () => never {
  return () => {
    throw new Error(`cannot load the code of a worker thread: ${String(cause)}`);
  };
}
