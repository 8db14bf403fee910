// A TCP proxy before a PostgreSQL that does what networks do: cuts connections (at COMMIT on one side of it or the other, after so
// many bytes of an answer, all at once), swallows everything for a while, delays, throttles. Plain text only (no TLS).

import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FaultProxy {
  readonly port: number;
  /**
   * What happens to the next COMMIT: cut before the server hears it, or after it answered and before the client hears that. `hears`: so
   * many bytes of the answer reach the client first.
   */
  cutNextCommit(side: 'before' | 'after', hears?: number): void;
  /** The connection that is first to get so many bytes of answers from now on is cut there; the client gets those bytes. */
  cutAfterAnswer(bytes: number): void;
  /** Cuts every connection there is, with RST. */
  cutAll(): void;
  /** While on, nothing passes in either direction and nobody is told; what came meanwhile is lost, so switching off cuts. */
  swallow(on: boolean): void;
  /** Each piece is passed on so much later, and no faster than so many bytes a second (0: as fast as it goes). */
  shape(delayMs: number, bytesPerSecond: number): void;
  /** How many connections were cut; a test that saw none has proved nothing. */
  readonly cuts: number;
  /** Bytes that were swallowed. */
  readonly swallowed: number;
  close(): Promise<void>;
}

/** Sees what passes on one connection, just before it is passed on. */
export interface LinkWatcher {
  asks(data: Buffer): void;
  answers(data: Buffer): void;
  closes(): void;
}

const COMMIT = Buffer.from('COMMIT');
/** What COMMIT is answered with when a statement ahead of it failed. */
const ROLLBACK = Buffer.from('ROLLBACK');
/** Ahead of that word in an answer. */
const TAG_HEADER_BYTES = 5;
/** Throttled data travels in pieces of this size. */
const PIECE_BYTES = 4096;

interface Link {
  readonly client: net.Socket;
  readonly upstream: net.Socket;
  readonly watcher: LinkWatcher | undefined;
  /** The server's next answer on this connection is not to reach the client, but for so many bytes. */
  muted: number | null;
}

/** `watch` makes a watcher for each connection. */
export async function startFaultProxy(serverPort: number, watch?: () => LinkWatcher): Promise<FaultProxy> {
  const proxy = new Proxy(serverPort, watch);
  await proxy.listen();
  return proxy;
}

/** `ON COMMIT DELETE ROWS` of a temporary table is no COMMIT: its answer has no such tag, and would be waited for in silence for ever. */
function asksToCommit(data: Buffer): boolean {
  for (let at = data.indexOf(COMMIT); at >= 0; at = data.indexOf(COMMIT, at + 1))
    if (data.toString('latin1', Math.max(0, at - 3), at) !== 'ON ') return true;
  return false;
}

class Proxy implements FaultProxy {
  cuts = 0;
  swallowed = 0;
  readonly #links = new Set<Link>();
  readonly #server: net.Server;
  #armed: { readonly side: 'before' | 'after'; readonly hears: number } | null = null;
  #answerBytes = Infinity;
  #swallowing = false;
  #delayMs = 0;
  #bytesPerSecond = 0;

  constructor(serverPort: number, watch?: () => LinkWatcher) {
    this.#server = net.createServer((client) => {
      const upstream = net.connect(serverPort, '127.0.0.1');
      const link: Link = { client, upstream, watcher: watch?.(), muted: null };
      this.#links.add(link);
      client.on('close', () => link.watcher?.closes());
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        socket.setNoDelay(true);
        socket.on('error', () => other.destroy());
        socket.on('close', (hadError) => {
          if (hadError) other.destroy();
          this.#links.delete(link);
        });
      }
      void this.#pump(client, upstream, (data) => this.#ask(link, data));
      void this.#pump(upstream, client, (data) => this.#answer(link, data));
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  cutNextCommit(side: 'before' | 'after', hears = 0): void {
    this.#armed = { side, hears };
  }

  cutAfterAnswer(bytes: number): void {
    this.#answerBytes = bytes;
  }

  cutAll(): void {
    for (const link of this.#links) this.#cut(link);
  }

  swallow(on: boolean): void {
    if (this.#swallowing && !on) this.cutAll();
    this.#swallowing = on;
  }

  shape(delayMs: number, bytesPerSecond: number): void {
    this.#delayMs = delayMs;
    this.#bytesPerSecond = bytesPerSecond;
  }

  async close(): Promise<void> {
    for (const { client, upstream } of this.#links) {
      client.destroy();
      upstream.destroy();
    }
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** One direction. `pass` says what of a piece goes on, and may have cut the connection. */
  async #pump(from: net.Socket, to: net.Socket, pass: (data: Buffer) => Buffer): Promise<void> {
    try {
      for await (const chunk of from) {
        for (const piece of this.#pieces(chunk as Buffer)) {
          const waitMs =
            this.#delayMs + (this.#bytesPerSecond > 0 ? (piece.length * 1000) / this.#bytesPerSecond : 0);
          if (waitMs > 0) await sleep(waitMs);
          const data = pass(piece);
          if (data.length > 0 && to.writable && !to.write(data))
            await Promise.race([once(to, 'drain'), once(to, 'close')]);
        }
      }
      if (this.#delayMs > 0) await sleep(this.#delayMs);
      to.end();
    } catch {
      to.destroy(); // either side went away: the other one hears of it
    }
  }

  *#pieces(data: Buffer): Iterable<Buffer> {
    if (this.#bytesPerSecond === 0) yield data;
    else for (let at = 0; at < data.length; at += PIECE_BYTES) yield data.subarray(at, at + PIECE_BYTES);
  }

  #ask(link: Link, data: Buffer): Buffer {
    if (this.#swallowing) return this.#lose(data);
    link.watcher?.asks(data);
    if (this.#armed === null || !asksToCommit(data)) return data;
    const { side, hears } = this.#armed;
    this.#armed = null;
    link.muted = hears;
    if (side === 'after') return data;
    this.#cut(link);
    return Buffer.alloc(0);
  }

  #answer(link: Link, data: Buffer): Buffer {
    if (this.#swallowing) return this.#lose(data);
    if (link.muted !== null) return this.#answerMuted(link, data, link.muted);
    this.#answerBytes -= data.length;
    if (this.#answerBytes > 0) {
      link.watcher?.answers(data);
      return data;
    }
    const passed = data.subarray(0, data.length + this.#answerBytes);
    this.#answerBytes = Infinity;
    return this.#cutBehind(link, passed);
  }

  /** Statements ahead of it are answered first; the cut comes once COMMIT was carried out. */
  #answerMuted(link: Link, data: Buffer, hears: number): Buffer {
    const at = Math.max(data.indexOf(COMMIT), data.indexOf(ROLLBACK));
    if (at >= 0)
      return this.#cutBehind(link, data.subarray(0, hears === 0 ? 0 : at - TAG_HEADER_BYTES + hears));
    return hears === 0 ? Buffer.alloc(0) : data;
  }

  #cutBehind(link: Link, passed: Buffer): Buffer {
    if (passed.length === 0) this.#cut(link);
    else {
      link.client.end(passed);
      setImmediate(() => this.#cut(link));
    }
    return Buffer.alloc(0);
  }

  #lose(data: Buffer): Buffer {
    this.swallowed += data.length;
    return Buffer.alloc(0);
  }

  #cut({ client, upstream }: Link): void {
    if (client.destroyed && upstream.destroyed) return;
    this.cuts += 1;
    client.resetAndDestroy();
    upstream.resetAndDestroy();
  }
}
