// PostgreSQL's messages, found in whatever pieces a stream comes in: their type and how they begin. Nothing of them is kept.

/** As far as a message is looked at: a statement is known by how it begins. */
const LOOK_BYTES = 700;
const HEADER_BYTES = 5;

export interface Message {
  /** One letter. */
  readonly type: string;
  /** Of the body as much as came with its header, at most LOOK_BYTES. */
  readonly body: Buffer;
}

/** One direction of one connection, from a point on at which a message begins. */
export class Frames {
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #known = 0;
  /** What is left of the message at hand. */
  #rest = 0;

  *read(data: Buffer): Iterable<Message> {
    let at = 0;
    while (at < data.length) {
      const passed = Math.min(this.#rest, data.length - at);
      this.#rest -= passed;
      at += passed;
      const more = data.copy(this.#header, this.#known, at, at + HEADER_BYTES - this.#known);
      this.#known += more;
      at += more;
      if (this.#known < HEADER_BYTES) return;
      this.#known = 0;
      this.#rest = this.#header.readUInt32BE(1) - 4;
      const body = data.subarray(at, at + Math.min(this.#rest, LOOK_BYTES));
      yield { type: String.fromCharCode(this.#header[0] ?? 0), body };
    }
  }
}
