// What this page knows of a room: messages in the room's order, and where it knows that it lacks some.
// Pure: no DOM, no clock, no network; frames in, state out.
//
// Two sources feed it, and they must not be confused.
// * The stream: what comes by itself, in order and without a hole. Only the stream moves `position`, the
//   id from which a new connection resumes. (An ack moves nothing: others may have spoken before us.)
// * Pages of history, asked for: authoritative for the range of seqs that they cover, as it was when
//   the server read it. A message in the range that a page lacks is deleted; a change that the stream
//   brought after we asked wins over the page.
//
// Invariants
//   1. `messages` is sorted by seq, and no id is in it twice.
//   2. A message is never modified but replaced, so "the same object" means "nothing to redraw".
//   3. Seqs may have holes that mean nothing. What is missing is in `gaps`, sorted: {from, to, next},
//      where history after `next` brings from..to. Older than messages[0] is missing unless `atStart`.
//   4. Bounded: trim() keeps the newest; NAMES_MAX, LATE_MAX bound the rest.

const NAMES_MAX = 50; // who reacted, per message and emoji
const LATE_MAX = 100; // changes of messages that a page under way may bring

const reactionsWith = (reactions, emoji, change) => {
  const known = reactions.some((r) => r.emoji === emoji);
  const all = known ? reactions : [...reactions, { emoji, count: 0, names: [] }];
  return all.map((r) => (r.emoji === emoji ? change(r) : r)).filter((r) => r.count > 0);
};

const react = (name) => (r) =>
  r.names.includes(name) ? r : { ...r, count: r.count + 1, names: [...r.names, name].slice(-NAMES_MAX) };
const unreact = (name) => (r) => ({ ...r, count: r.count - 1, names: r.names.filter((n) => n !== name) });

export class Room {
  messages = [];
  gaps = [];
  atStart = false;
  position = null; // id to resume from
  head = 0; // the highest seq that the stream told of
  epoch = '';
  unread = 0;
  anew = false; // the log we knew is not continued: this one began without what was said before
  lineSeq = null; // the line "new messages" stands before the first message from this seq on
  #byId = new Map();
  #late = [];
  #replay = null;

  get(id) {
    return this.#byId.get(id);
  }

  get oldest() {
    return this.messages[0];
  }

  // The oldest message after which nothing is missing; undefined: the newest are.
  get solidFrom() {
    const end = this.gaps.at(-1)?.to ?? -1;
    return this.messages.find((message) => message.seq > end);
  }

  // Whether what came while we were away is still coming in.
  get replaying() {
    return this.#replay !== null;
  }

  // Whether this is the very first time: what comes then is history, not news.
  get entering() {
    return this.#replay !== null && !this.#replay.again;
  }

  clear() {
    Object.assign(this, { messages: [], gaps: [], atStart: false, position: null, head: 0 });
    Object.assign(this, { unread: 0, lineSeq: null });
    this.#byId.clear();
    this.#late = [];
    this.#replay = null;
  }

  // -- The stream

  // knownEpoch: of the log as it was at an earlier visit, or ''.
  joined({ epoch, seq, id, recovered, replayed }, knownEpoch = '') {
    const again = this.position !== null;
    if (again && !recovered) this.clear();
    const known = this.epoch || knownEpoch;
    if (known !== '' && known !== epoch) this.anew = true;
    this.epoch = epoch;
    // Where nothing was ever said, nothing can be missing before what comes now.
    if (!again || !recovered) this.atStart = seq === 0 && replayed === 0;
    this.#replay = { again, recovered, announced: replayed, seq, id, missed: 0, gap: 0 };
  }

  // Once everything up to the head is in: what happened, {again, recovered, anew, missed, gap}; else null.
  // The number announced cannot tell: after the last of them a gap may follow. force: nothing more
  // will come, since the last events before the head are such as are not told any more.
  caughtUp(force = false) {
    const replay = this.#replay;
    if (!replay || (!force && replay.announced > 0 && this.head < replay.seq)) return null;
    this.#replay = null;
    if (replay.id !== null && this.head <= replay.seq && replay.gap === 0) {
      this.position = replay.id;
      this.head = replay.seq;
    }
    const { again, recovered, missed, gap } = replay;
    return { again, recovered, anew: again && !recovered && this.anew, missed, gap };
  }

  // A message of the stream. own: said by this browser; key: what the page called it before it had an
  // id; seen: somebody is looking. Returns whether it is new.
  message(frame, { own = false, key = frame.id, seen = true } = {}) {
    this.#advance(frame.id, frame.seq);
    if (!this.#add(frame, { own, key })) return false;
    if (own) return true;
    if (this.#replay?.again) this.#replay.missed += 1;
    if (!seen) this.#noteUnread(frame.seq);
    return true;
  }

  // An edit, delete, react or unreact of the stream.
  change(frame) {
    this.#advance(frame.id, frame.seq);
    // Reactions are not kept: whether a page counts them already cannot be known.
    if (frame.type === 'edit' || frame.type === 'delete') this.#late = [...this.#late, frame].slice(-LATE_MAX);
    this.#apply(frame);
  }

  gap({ from, to, next }) {
    this.gaps = this.gaps.filter((gap) => gap.to < from || gap.from > to);
    this.gaps.push({ from, to, next });
    this.gaps.sort((a, b) => a.from - b.from);
    this.position = next;
    this.head = Math.max(this.head, to);
    if (this.#replay) this.#replay.gap += to - from + 1;
  }

  // The server's answer to what we said; key: as for message(). A repeated answer may be about
  // something older than what is loaded, and must not pass for it.
  acked({ id, seq, ts, text, username, replyTo }, key) {
    if (this.oldest && seq < this.oldest.seq && !this.atStart) return;
    this.#add({ id, seq, ts, username, text, replyTo, editedMs: 0, reactions: [] }, { own: true, key });
  }

  // A copy that did not last, since the message was posted again.
  drop(id) {
    const message = this.#byId.get(id);
    if (!message) return;
    this.#byId.delete(id);
    this.messages.splice(this.#indexOf(message.seq), 1);
  }

  // Everything is seen; the line stays where it was.
  markSeen() {
    this.unread = 0;
  }

  clearLine() {
    if (this.unread === 0) this.lineSeq = null;
  }

  // -- Pages of history. asOf: `head` when it was asked for. own(message): said by this browser.

  // What lies before `seq`.
  pageBefore(seq, { messages, more }, { asOf, own }) {
    const ends = !more || messages.length === 0;
    this.#page({ messages, asOf, own, low: ends ? 0 : messages[0].seq, high: seq - 1 });
    if (ends && (this.oldest?.seq ?? 0) >= (messages[0]?.seq ?? 0)) this.atStart = true;
  }

  // What lies in the gap, from its beginning.
  pageInGap(gap, { messages, more }, { asOf, own }) {
    const last = messages.at(-1);
    this.#page({ messages, asOf, own, low: gap.from, high: more && last ? last.seq : gap.to, next: last?.id });
  }

  // What lies around a message that may be far from all others: a gap remains in between.
  pageAround({ messages }, { asOf, own }) {
    if (messages.length === 0) return;
    const low = messages[0].seq;
    const last = messages.at(-1);
    const { oldest } = this;
    this.#page({ messages, asOf, own, low, high: last.seq, next: last.id });
    if (oldest && last.seq < oldest.seq - 1) this.#addGap({ from: last.seq + 1, to: oldest.seq - 1, next: last.id });
    if (!oldest || low < oldest.seq) this.atStart = false;
  }

  // Keeps the newest `max` messages.
  trim(max) {
    const excess = this.messages.length - max;
    if (excess <= 0) return;
    for (const message of this.messages.splice(0, excess)) this.#byId.delete(message.id);
    this.gaps = this.gaps.filter((gap) => gap.from > this.messages[0].seq);
    this.atStart = false;
  }

  // Which messages are ours may be learnt later, from another tab.
  markOwn(isOwn) {
    for (const message of this.messages) {
      if (!message.own && isOwn(message)) this.#replace(message, { own: true });
    }
  }

  // -- Inside

  #advance(id, seq) {
    if (id !== null) this.position = id;
    this.head = Math.max(this.head, seq);
    // A resumed stream runs through a gap that an earlier one left, from its beginning.
    const gap = this.gaps.find((g) => g.from <= seq && seq <= g.to);
    if (gap) this.#cut(gap.from, seq, id ?? gap.next);
  }

  #noteUnread(seq) {
    if (this.unread === 0) this.lineSeq = seq;
    this.unread += 1;
  }

  // The index of the first message with this seq or a higher one. Nearly always the end is meant.
  #indexOf(seq) {
    const { messages } = this;
    if (messages.length === 0 || messages.at(-1).seq < seq) return messages.length;
    let low = 0;
    for (let high = messages.length; low < high;) {
      const middle = (low + high) >> 1;
      if (messages[middle].seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #add(frame, { own, key }) {
    const known = this.#byId.get(frame.id);
    if (known) {
      if (own && !known.own) this.#replace(known, { own, key });
      return false;
    }
    const { id, seq, ts, username, text, replyTo, editedMs, reactions } = frame;
    const message = {
      id, seq, ts, username, text, replyTo, editedMs, reactions, own, key, deleted: false, changedSeq: 0,
    };
    this.#byId.set(id, message);
    this.messages.splice(this.#indexOf(seq), 0, message);
    return true;
  }

  #replace(message, facts) {
    const next = { ...message, ...facts };
    this.#byId.set(message.id, next);
    this.messages[this.#indexOf(message.seq)] = next;
    return next;
  }

  #apply({ type, target, seq, ts, username, text, emoji }) {
    const message = this.#byId.get(target);
    if (!message || message.deleted || message.changedSeq >= seq) return;
    const facts = {
      edit: () => ({ text, editedMs: ts }),
      delete: () => ({ text: '', deleted: true, reactions: [], replyTo: null }),
      react: () => ({ reactions: reactionsWith(message.reactions, emoji, react(username)) }),
      unreact: () => ({ reactions: reactionsWith(message.reactions, emoji, unreact(username)) }),
    }[type]();
    this.#replace(message, { ...facts, changedSeq: seq });
  }

  #page({ messages, asOf, own, low, high, next }) {
    const ids = new Set(messages.map((message) => message.id));
    const isGone = (m) => m.seq >= low && m.seq <= high && m.seq <= asOf && !ids.has(m.id) && !m.deleted;
    for (const gone of this.messages.filter(isGone)) this.drop(gone.id);
    for (const message of messages) this.#merge(message, asOf, own(message));
    for (const late of this.#late) if (late.seq > asOf) this.#apply(late);
    this.#cut(low, high, next);
  }

  #merge(frame, asOf, own) {
    const known = this.#byId.get(frame.id);
    if (!known) {
      this.#add(frame, { own, key: frame.id });
      return;
    }
    if (known.changedSeq > asOf || known.deleted) return;
    const reactions = frame.reactions.map((r) => {
      const names = known.reactions.find((k) => k.emoji === r.emoji)?.names ?? [];
      return { ...r, names: names.length <= r.count ? names : [] };
    });
    this.#replace(known, { text: frame.text, editedMs: frame.editedMs, reactions });
  }

  // low..high is no longer missing; `next` leads on from high.
  #cut(low, high, next) {
    this.gaps = this.gaps.flatMap((gap) => {
      if (gap.to < low || gap.from > high) return [gap];
      const before = gap.from < low ? [{ ...gap, to: low - 1 }] : [];
      const after = gap.to > high ? [{ from: high + 1, to: gap.to, next: next ?? gap.next }] : [];
      return [...before, ...after];
    });
  }

  #addGap(gap) {
    this.gaps = [...this.gaps, gap].sort((a, b) => a.from - b.from);
  }
}
