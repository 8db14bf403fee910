// Which faults this machine cannot make, and why.

import { execFileSync } from 'node:child_process';

/** Why this machine cannot mount a small file system; false when it can. */
export function cannotMount(): string | false {
  return process.platform === 'linux' && process.getuid?.() === 0
    ? false
    : 'a small file system can be mounted by root on Linux only';
}

/** Why there is no fault injection into system calls here; false when there is. */
export function cannotTrace(): string | false {
  try {
    execFileSync('strace', ['-f', '-e', 'inject=getuid:error=EPERM', 'true'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'strace is not installed, or may not trace here';
  }
}
