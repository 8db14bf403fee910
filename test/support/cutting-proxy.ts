// A TCP proxy before a PostgreSQL that cuts the connection at COMMIT, on one side of it or the other. Plain text only (no TLS).

import net from 'node:net';
import type { AddressInfo } from 'node:net';

export type Side = 'before' | 'after' | 'half';

export interface CuttingProxy {
  readonly port: number;
  /**
   * What happens to the next COMMIT: cut before the server hears it, or after it answered and before the client hears that; or only the
   * client's side is cut, and the server waits on with its transaction open (half-open).
   */
  cutNextCommit(side: Side): void;
  /** From now on the connections that are open carry nothing any more, and nobody is told. */
  swallow(): void;
  /** How many cuts were made; a test that saw none has proved nothing. */
  readonly cuts: number;
  close(): Promise<void>;
}

/** A simple query (type, length, text) that begins with COMMIT, alone or behind other messages; `ON COMMIT` elsewhere is none. */
function hasCommit(messages: Buffer): boolean {
  for (let at = messages.indexOf('COMMIT'); at >= 0; at = messages.indexOf('COMMIT', at + 1))
    if (messages[at - 5] === 0x51) return true;
  return false;
}

export async function startCuttingProxy(serverPort: number): Promise<CuttingProxy> {
  let armed: Side | null = null;
  let cuts = 0;
  const sockets = new Set<net.Socket>();
  const muffles = new Set<() => void>();
  const server = net.createServer((client) => {
    const upstream = net.connect(serverPort, '127.0.0.1');
    let muted = false;
    let swallowed = false;
    muffles.add(() => {
      swallowed = true;
    });
    const cut = (): void => {
      cuts += 1;
      client.destroy();
      upstream.destroy();
    };
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => swallowed || other.destroy());
      socket.on('close', () => swallowed || other.destroy());
    }
    client.on('data', (data) => {
      if (swallowed) return;
      if (armed !== null && hasCommit(data)) {
        const side = armed;
        armed = null;
        if (side === 'before') return cut();
        if (side === 'half') {
          cuts += 1;
          swallowed = true;
          client.destroy();
          return;
        }
        muted = true;
      }
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      // Statements ahead of it are answered first: nothing is heard of them, and the cut comes once COMMIT was carried out.
      if (muted) {
        if (data.includes('COMMIT')) cut();
      } else if (!swallowed) client.write(data);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    cutNextCommit: (side) => {
      armed = side;
    },
    swallow: () => {
      for (const muffle of muffles) muffle();
    },
    get cuts() {
      return cuts;
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
