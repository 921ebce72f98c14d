// The messages of a room that the page has: sorted by seq, no id twice. A message is never modified but
// replaced, so "the same object" means "nothing to redraw". Pure.

/** @import { Message } from "../client/types.js" */

/**
 * own: said by this browser; key: what the page calls it, also before it has an id; changedSeq: of the last
 * change by the stream.
 * @typedef {Omit<Message, "nonce"> & {own: boolean, key: string, deleted: boolean, changedSeq: number}} Shown
 */

export class Messages {
  /** @type {Shown[]} */
  all = [];
  /** @type {Map<string, Shown>} */
  #byId = new Map();

  /** @param {string | null} id */
  get(id) {
    return id === null ? undefined : this.#byId.get(id);
  }

  clear() {
    this.all = [];
    this.#byId.clear();
  }

  /**
   * Returns whether it is new.
   * @param {Omit<Message, "nonce">} frame
   * @param {{own: boolean, key: string}} facts
   */
  add(frame, { own, key }) {
    const known = this.#byId.get(frame.id);
    if (known) {
      if (own && !known.own) this.replace(known, { own, key });
      return false;
    }
    const { id, seq, ts, username, user, text, replyTo, editedMs, reactions } = frame;
    const message = {
      id, seq, ts, username, user, text, replyTo, editedMs, reactions, own, key, deleted: false, changedSeq: 0,
    };
    this.#byId.set(id, message);
    this.all.splice(this.#indexOf(seq), 0, message);
    return true;
  }

  /** @param {Shown} message @param {Partial<Shown>} facts */
  replace(message, facts) {
    const next = { ...message, ...facts };
    this.#byId.set(message.id, next);
    this.all[this.#indexOf(message.seq)] = next;
  }

  /** @param {string} id */
  drop(id) {
    const message = this.#byId.get(id);
    if (!message) return;
    this.#byId.delete(id);
    this.all.splice(this.#indexOf(message.seq), 1);
  }

  /**
   * Keeps the newest `max`. Returns whether any had to go.
   * @param {number} max
   */
  trim(max) {
    const excess = this.all.length - max;
    if (excess <= 0) return false;
    for (const message of this.all.splice(0, excess)) this.#byId.delete(message.id);
    return true;
  }

  /**
   * The index of the first with this seq or a higher one. Nearly always the end is meant.
   * @param {number} seq
   */
  #indexOf(seq) {
    const { all } = this;
    if ((all.at(-1)?.seq ?? -1) < seq) return all.length;
    let low = 0;
    for (let high = all.length; low < high;) {
      const middle = (low + high) >> 1;
      if (all[middle].seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
