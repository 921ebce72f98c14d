// Who is in the room, and who is typing. Pure; the time is passed in.
//
// One name may be here several times (two tabs, two phones), so names are counted. The server tells
// names up to a size of room, beyond it only how many there are; and two answers may cross on the wire.
// So `count` is always the server's last word, and `stale` says that the names no longer add up to it.

/** @import { Members, Presence, Typing } from "../client/types.js" */

const NAMES_MAX = 200; // as many as the server lists
const TYPING_MS = 6000; // a typist is silent for at most half of it
const TYPING_MAX = 50;

export class People {
  count = 0;
  /** @type {Map<string, number>} */
  #names = new Map(); // name -> connections
  /** @type {Map<string, number>} */
  #typing = new Map(); // name -> until ms

  /**
   * An answer to `who`.
   * @param {Members} members
   */
  replace({ count, names }) {
    this.count = count;
    this.#names.clear();
    for (const name of names) this.#come(name);
  }

  /** @param {Presence} change */
  presence({ joined, left, named, count }) {
    this.count = count;
    if (!named) return;
    joined.forEach((name) => this.#come(name));
    for (const name of left) {
      this.#go(name);
      this.#typing.delete(name);
    }
  }

  get stale() {
    let sum = 0;
    for (const connections of this.#names.values()) sum += connections;
    return sum !== Math.min(this.count, NAMES_MAX);
  }

  // [{name, connections}], by name.
  list() {
    return Array.from(this.#names, ([name, connections]) => ({ name, connections }))
      .sort((a, b) => a.name.localeCompare(b.name));
  }

  /** @param {Typing} change @param {number} nowMs */
  typing({ username, on }, nowMs) {
    this.#typing.delete(username);
    if (on && this.#typing.size < TYPING_MAX) this.#typing.set(username, nowMs + TYPING_MS);
  }

  /** @param {number} nowMs */
  typists(nowMs) {
    return [...this.#typing].filter(([, untilMs]) => untilMs > nowMs).map(([name]) => name);
  }

  forgetTyping() {
    this.#typing.clear();
  }

  /** @param {string} name */
  #come(name) {
    if (this.#names.size < NAMES_MAX || this.#names.has(name)) {
      this.#names.set(name, (this.#names.get(name) ?? 0) + 1);
    }
  }

  /** @param {string} name */
  #go(name) {
    const left = (this.#names.get(name) ?? 0) - 1;
    if (left > 0) this.#names.set(name, left);
    else this.#names.delete(name);
  }
}

/**
 * "" | "Ann is typing…" | "Ann and Bob are typing…" | "Several people are typing…"
 * @param {string[]} names
 */
export function typingText(names) {
  if (names.length === 0) return "";
  if (names.length === 1) return `${names[0]} is typing…`;
  if (names.length === 2) return `${names[0]} and ${names[1]} are typing…`;
  return "Several people are typing…";
}
