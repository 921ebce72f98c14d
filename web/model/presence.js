// Who is here and who is typing, kept up to date. What the server tells in between may not add up (see
// people.js), or be numbers only: then the list is asked for again, seldom for large rooms, and only while
// somebody looks at it.

import { People, typingText } from "./people.js";

/** @import { Members, Presence as Change, Typing } from "../client/types.js" */

const WHO_SOON_MS = 1500;
const WHO_LARGE_MS = 15000;
const LARGE_ROOM = 200;

export class Presence {
  #ask;
  #isListed;
  #onPeople;
  #onTyping;
  #people = new People();
  #name;
  #timer = 0;
  #waitMs = 0; // what #timer was set to

  /**
   * @param {object} options
   * @param {string} options.name ours
   * @param {() => Promise<Members>} options.ask may fail
   * @param {() => boolean} options.isListed whether somebody looks at who is here
   * @param {(people: People, name: string) => void} options.onPeople
   * @param {(text: string) => void} options.onTyping
   */
  constructor({ name, ask, isListed, onPeople, onTyping }) {
    this.#name = name;
    this.#ask = ask;
    this.#isListed = isListed;
    this.#onPeople = onPeople;
    this.#onTyping = onTyping;
  }

  // The room was left.
  stop() {
    clearTimeout(this.#timer);
    this.#people = new People();
  }

  /**
   * The name that the server knows us by, and how many are here.
   * @param {{name: string, count: number}} facts
   */
  joined({ name, count }) {
    this.#name = name;
    this.#people.count = count;
  }

  // How many are here, oneself included.
  get count() {
    return this.#people.count;
  }

  /** @param {Change} frame */
  presence(frame) {
    this.#people.presence(frame);
    this.show();
  }

  /** @param {Typing} frame */
  typing(frame) {
    this.#people.typing(frame, performance.now());
    this.tick();
  }

  lost() {
    this.#people.forgetTyping();
    this.tick();
  }

  // Typing ends by itself.
  tick() {
    const names = this.#people.typists(performance.now()).filter((name) => name !== this.#name);
    this.#onTyping(typingText(names));
  }

  show() {
    this.#onPeople(this.#people, this.#name);
    const large = this.#people.count > LARGE_ROOM;
    const waitMs = large ? WHO_LARGE_MS : WHO_SOON_MS;
    if (!this.#people.stale || (large && !this.#isListed())) return;
    if (this.#timer && this.#waitMs <= waitMs) return; // a large room that became small waits no longer
    clearTimeout(this.#timer);
    this.#waitMs = waitMs;
    this.#timer = setTimeout(() => this.refresh(), waitMs);
  }

  async refresh() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const people = this.#people;
    try {
      people.replace(await this.#ask());
    } catch {
      return; // asked again after coming back
    }
    if (people === this.#people) this.#onPeople(people, this.#name);
  }
}
