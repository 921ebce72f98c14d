// What this tab has said and has not seen come back.
//
// The server confirms a message by delivering it to its sender like to everyone else, and refuses it
// with a frame that does not name the message. So which one was refused has to be worked out, from two
// facts: the server handles the frames of a connection in order, and it answers each with exactly one
// of the two.
//   1. As many open refusals as messages in flight: all of those were refused.
//   2. An echo of n: what was sent before n and is still in flight was refused, oldest refusal first.
// Nothing is guessed beyond that. What stays undecided when the connection ends is `failed` with an
// unknown fate, and only the person can tell whether to send it again.
//
// States of an entry: waiting (never left the page) -> sent (in flight) -> gone, or failed.
// An entry is only ever removed by its echo or by the caller.

export class Outbox {
  #entries = new Map(); // n -> entry; insertion order is the order of sending
  #refusals = [];
  #lastN = 0;

  add(text) {
    const entry = { n: ++this.#lastN, text, state: 'waiting', sentAtMs: 0 };
    this.#entries.set(entry.n, entry);
    return entry;
  }

  get size() {
    return this.#entries.size;
  }

  texts() {
    return Array.from(this.#entries.values(), (entry) => entry.text);
  }

  #inState(state) {
    return [...this.#entries.values()].filter((entry) => entry.state === state);
  }

  waiting() {
    return this.#inState('waiting');
  }

  inFlight() {
    return this.#inState('sent');
  }

  markSent(entry, nowMs) {
    entry.state = 'sent';
    entry.sentAtMs = nowMs;
  }

  remove(n) {
    this.#entries.delete(n);
  }

  // An echo. The text must match as well: our client id is known to the whole room, and a stranger
  // who replays it must not be able to speak in our place.
  // Returns {entry, refused}, or null where the message is not one of ours.
  confirm(n, text) {
    const entry = this.#entries.get(n);
    if (!entry || entry.state === 'waiting' || entry.text !== text) return null;
    this.#entries.delete(n);
    const refused = [];
    if (entry.state === 'sent') {
      for (const older of this.inFlight()) {
        if (older.n > n || this.#refusals.length === 0) break;
        refused.push(this.#fail(older, this.#refusals.shift()));
      }
    }
    return { entry, refused: refused.concat(this.#settle()) };
  }

  // A refusal. Returns the entries now known to be refused, each with its `reason`.
  refuse(reason) {
    if (this.inFlight().length > this.#refusals.length) this.#refusals.push(reason);
    return this.#settle();
  }

  // The connection ended: what was in flight may or may not have arrived.
  connectionLost() {
    this.#refusals = [];
    return this.inFlight().map((entry) => this.#fail(entry, ''));
  }

  // There will be no connection: what was waiting for one has failed as well.
  giveUp() {
    return this.waiting().map((entry) => this.#fail(entry, 'Not sent: there is no connection'));
  }

  #fail(entry, reason) {
    entry.state = 'failed';
    entry.reason = reason;
    return entry;
  }

  #settle() {
    const open = this.inFlight();
    if (open.length === 0 || open.length !== this.#refusals.length) return [];
    const reasons = this.#refusals;
    this.#refusals = [];
    return open.map((entry, i) => this.#fail(entry, reasons[i]));
  }
}
