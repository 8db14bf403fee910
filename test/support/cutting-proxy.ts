// A TCP proxy before a PostgreSQL that cuts the connection at COMMIT, on one side of it or the other. Plain text only (no TLS).

import net from 'node:net';
import type { AddressInfo } from 'node:net';

export interface CuttingProxy {
  readonly port: number;
  /** What happens to the next COMMIT: cut before the server hears it, or after it answered and before the client hears that. */
  cutNextCommit(side: 'before' | 'after'): void;
  /** How many cuts were made; a test that saw none has proved nothing. */
  readonly cuts: number;
  close(): Promise<void>;
}

const COMMIT = Buffer.from('COMMIT');

export async function startCuttingProxy(serverPort: number): Promise<CuttingProxy> {
  let armed: 'before' | 'after' | null = null;
  let cuts = 0;
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const upstream = net.connect(serverPort, '127.0.0.1');
    let muted = false;
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
      socket.on('error', () => other.destroy());
      socket.on('close', () => other.destroy());
    }
    client.on('data', (data) => {
      if (armed !== null && data.includes(COMMIT)) {
        const side = armed;
        armed = null;
        if (side === 'before') return cut();
        muted = true;
      }
      upstream.write(data);
    });
    upstream.on('data', (data) => (muted ? cut() : client.write(data)));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    cutNextCommit: (side) => {
      armed = side;
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
