// Fetching what the room still lacks: older messages, gaps, the surroundings of a message far away.
// One Pager belongs to one Room; if the page has moved on to another, an answer that comes late
// changes what nobody looks at.

const OLDER_PAGE = 50;
const GAP_PAGE = 200;
const AROUND_PAGE = 50;
const REFRESH_PAGES_MAX = 15;

export class Pager {
  older = 'more'; // 'more' | 'loading' | 'failed' | 'full': what rows.js shows above the first message
  loading = new Set(); // gaps being filled, by their `to`
  #room;
  #max;
  #ask;
  #own;
  #onChange;

  // max: messages that the page holds at most. ask({before | after | around, limit}) -> page of history.
  // own(message): said by this browser. onChange(): the room or what is public here has changed.
  constructor({ room, max, ask, own, onChange }) {
    this.#room = room;
    this.#max = max;
    this.#ask = ask;
    this.#own = own;
    this.#onChange = onChange;
  }

  // There is a connection (again).
  wake() {
    this.older = 'more';
    this.loading.clear();
  }

  // What comes before the oldest message.
  async loadOlder() {
    const room = this.#room;
    const { oldest } = room;
    if (!oldest || room.atStart || this.older === 'loading') return;
    if (room.messages.length >= this.#max) {
      this.older = 'full';
      this.#onChange();
      return;
    }
    this.older = 'loading';
    this.#onChange();
    try {
      const page = await this.#page({ before: oldest.id, limit: OLDER_PAGE });
      if (room.oldest?.id === oldest.id) room.pageBefore(oldest.seq, page, page);
      this.older = 'more';
    } catch (error) {
      this.older = error.code === 'lost' ? 'more' : 'failed';
    }
    this.#onChange();
  }

  // The next page of a gap.
  async loadGap({ to }) {
    const gap = this.#room.gaps.find((g) => g.to === to);
    if (!gap || this.loading.has(to)) return;
    this.loading.add(to);
    this.#onChange();
    try {
      const page = await this.#page({ after: gap.next, limit: GAP_PAGE });
      if (this.#room.gaps.includes(gap)) this.#room.pageInGap(gap, page, page);
    } finally {
      this.loading.delete(to);
      this.#onChange();
    }
  }

  // The newest page, where nothing came by itself.
  async loadNewest() {
    const room = this.#room;
    const page = await this.#page({ limit: OLDER_PAGE });
    room.pageBefore(page.asOf + 1, page, page);
    this.#onChange();
  }

  // Makes sure that a message is there; false: it is no longer kept.
  async find(id) {
    const room = this.#room;
    if (!room.get(id)) {
      const page = await this.#page({ around: id, limit: AROUND_PAGE });
      room.pageAround(page, page);
      this.#onChange();
    }
    return room.get(id) !== undefined;
  }

  // A gap swallowed the changes in it, also those of older messages: these are read again.
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

  // asOf: what the stream had told when we asked; the page is at least as new.
  async #page(query) {
    const asOf = this.#room.head;
    const { messages, more } = await this.#ask(query);
    return { messages, more, asOf, own: this.#own };
  }
}
