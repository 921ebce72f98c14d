// Who is here and who is typing, kept up to date and on the screen: the line over the composer, and the
// list of Side. What the server tells in between may not add up (see people.js), or be numbers only:
// then the list is asked for again, seldom for large rooms, and only while somebody looks at it.

import { setText } from './dom.js';
import { People, typingText } from './people.js';

const WHO_SOON_MS = 1500;
const WHO_LARGE_MS = 15000;
const LARGE_ROOM = 200;

export class Presence {
  #line;
  #side;
  #ask;
  #people = new People();
  #name = '';
  #timer = 0;
  #waitMs = 0; // what #timer was set to

  // line: where typing is told. ask(frame): a request that may fail.
  constructor({ line, side, ask }) {
    this.#line = line;
    this.#side = side;
    this.#ask = ask;
  }

  // For a room just entered; null: it was left.
  reset(name) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#people = new People();
    this.#name = name ?? '';
    this.show();
    this.tick();
  }

  // The name that the server knows us by, and how many are here.
  joined({ name, count }) {
    this.#name = name;
    this.#people.count = count;
  }

  // How many are here, oneself included.
  get count() {
    return this.#people.count;
  }

  onPresence(frame) {
    this.#people.presence(frame);
    this.show();
  }

  onTyping(frame) {
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
    setText(this.#line, typingText(names));
  }

  show() {
    this.#side.showPeople(this.#people, this.#name);
    const large = this.#people.count > LARGE_ROOM;
    const waitMs = large ? WHO_LARGE_MS : WHO_SOON_MS;
    if (!this.#people.stale || (large && this.#side.shows !== 'people')) return;
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
      people.replace(await this.#ask({ type: 'who' }));
    } catch {
      return; // asked again after coming back
    }
    if (people === this.#people) this.#side.showPeople(people, this.#name);
  }
}
