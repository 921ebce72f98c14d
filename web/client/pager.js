// Fetching what the room still lacks: older messages, gaps, the surroundings of a message far away.
// One Pager belongs to one room; if the page has moved on to another, an answer that comes late
// changes what nobody looks at.

/** @import { Gap, Message, Page } from "./types.js" */
/** @typedef {{before?: string, after?: string, around?: string, limit: number}} Query one of the three, or none */
/** @typedef {(message: Message) => boolean} IsOwn said by this browser */
/** @typedef {{asOf: number, own: IsOwn}} AskedFor asOf: `head` of the room when it was asked for */

/**
 * What the pages go to.
 * @typedef {{
 *   messages: {length: number}, gaps: Gap[], atStart: boolean, head: number, oldest?: {id: string, seq: number},
 *   get: (id: string) => {seq: number} | undefined,
 *   pageBefore: (seq: number, page: Page, asked: AskedFor) => void,
 *   pageInGap: (gap: Gap, page: Page, asked: AskedFor) => void,
 *   pageAround: (page: Page, asked: AskedFor) => void,
 * }} Pages
 */

const OLDER_PAGE = 50;
const GAP_PAGE = 200;
const AROUND_PAGE = 50;
const REFRESH_PAGES_MAX = 15;

export class Pager {
  /** @type {"more" | "loading" | "failed" | "full"} */
  older = "more"; // how it stands with what lies before the first message
  /** @type {Set<number>} */
  loading = new Set(); // gaps being filled, by their `to`
  #room;
  #max;
  #ask;
  #own;
  #onChange;

  /**
   * @param {object} options
   * @param {Pages} options.room
   * @param {number} options.max messages that the page holds at most
   * @param {(query: Query) => Promise<Page>} options.ask
   * @param {IsOwn} options.own
   * @param {() => void} options.onChange the room or what is public here has changed
   */
  constructor({ room, max, ask, own, onChange }) {
    this.#room = room;
    this.#max = max;
    this.#ask = ask;
    this.#own = own;
    this.#onChange = onChange;
  }

  // There is a connection (again).
  wake() {
    this.older = "more";
    this.loading.clear();
  }

  // What comes before the oldest message.
  async loadOlder() {
    const room = this.#room;
    const { oldest } = room;
    if (!oldest || room.atStart || this.older === "loading") return;
    if (room.messages.length >= this.#max) {
      this.older = "full";
      this.#onChange();
      return;
    }
    this.older = "loading";
    this.#onChange();
    try {
      const page = await this.#page({ before: oldest.id, limit: OLDER_PAGE });
      if (room.oldest?.id === oldest.id) room.pageBefore(oldest.seq, page, page);
      this.older = "more";
    } catch (error) {
      this.older = /** @type {{code?: string}} */ (error).code === "lost" ? "more" : "failed";
    }
    this.#onChange();
  }

  /**
   * The next page of a gap.
   * @param {{to: number}} gap
   */
  async loadGap({ to }) {
    const gap = this.#room.gaps.find((g) => g.to === to);
    if (gap) await this.#fill(gap, GAP_PAGE);
    this.closeIfEmpty(to);
  }

  // The newest page, where nothing came by itself.
  async loadNewest() {
    const room = this.#room;
    const page = await this.#page({ limit: OLDER_PAGE });
    room.pageBefore(page.asOf + 1, page, page);
    this.#onChange();
  }

  /**
   * Makes sure that a message is there; false: it is no longer kept.
   * @param {string} id
   */
  async find(id) {
    const room = this.#room;
    if (!room.get(id)) {
      const page = await this.#page({ around: id, limit: AROUND_PAGE });
      room.pageAround(page, page);
      this.#onChange();
      const [first, last] = [page.messages[0], page.messages.at(-1)];
      for (const { to, next } of room.gaps) if (next === last?.id || to + 1 === first?.seq) this.closeIfEmpty(to);
    }
    return room.get(id) !== undefined;
  }

  /**
   * A gap swallowed the changes in it, also those of older messages: these are read again.
   * @param {Gap} gap
   */
  async refreshBefore(gap) {
    const room = this.#room;
    // `next` is the last event before the gap, be it a message or a change.
    let before = { id: gap.next, seq: room.get(gap.next)?.seq ?? gap.from };
    for (let n = 0; n < REFRESH_PAGES_MAX && room.oldest && before.seq > room.oldest.seq; n++) {
      const page = await this.#page({ before: before.id, limit: GAP_PAGE });
      room.pageBefore(before.seq, page, page);
      this.#onChange();
      if (!page.more || page.messages.length === 0) return;
      [before] = page.messages;
    }
  }

  /**
   * Seqs have holes, so that there may be nothing between two that are far apart: the first message after the
   * one tells. If that cannot be had, the gap stays, with a button.
   * @param {number} to
   */
  closeIfEmpty(to) {
    const gap = this.#room.gaps.find((g) => g.to === to);
    if (gap) this.#fill(gap, 1).catch(() => {});
  }

  /** @param {Gap} gap @param {number} limit */
  async #fill(gap, limit) {
    if (this.loading.has(gap.to)) return;
    this.loading.add(gap.to);
    this.#onChange();
    try {
      const page = await this.#page({ after: gap.next, limit });
      if (this.#room.gaps.includes(gap)) this.#room.pageInGap(gap, page, page);
    } finally {
      this.loading.delete(gap.to);
      this.#onChange();
    }
  }

  /**
   * asOf: what the stream had told when we asked; the page is at least as new.
   * @param {Query} query
   */
  async #page(query) {
    const asOf = this.#room.head;
    const { messages, more } = await this.#ask(query);
    return { messages, more, asOf, own: this.#own };
  }
}
