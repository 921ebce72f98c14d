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
//   1. Seqs may have holes that mean nothing, so that no two of them tell how many messages lie between. What
//      is missing is in `gaps`. Older than messages[0] is missing unless `atStart`.
//   2. Bounded: trim() keeps the newest; LATE_MAX bounds what is late, reactions.js the names.

import { withGap, withoutRange } from "./gaps.js";
import { Messages } from "./messages.js";
import { withNames, withoutReaction, withReaction } from "./reactions.js";

/** @import { Change, Gap, Joined, Message, Page } from "../client/types.js" */
/** @import { AskedFor } from "../client/pager.js" */
/** @import { Shown } from "./messages.js" */

/**
 * What coming back brought; missed: messages of others; gap: there was more than came by itself; anew: see Room.
 * @typedef {{again: boolean, recovered: boolean, anew: boolean, missed: number, gap: boolean}} CaughtUp
 */

const LATE_MAX = 100; // changes of messages that a page under way may bring

export class Room {
  /** @type {Gap[]} */
  gaps = [];
  atStart = false;
  /** @type {string | null} */
  position = null; // id to resume from
  head = 0; // the highest seq that the stream told of
  epoch = "";
  unread = 0;
  anew = false; // the log we knew is not continued: this one began without what was said before
  /** @type {number | null} */
  lineSeq = null; // the line "new messages" stands before the first message from this seq on
  #list = new Messages();
  /** @type {Change[]} */
  #late = [];
  /** @type {{again: boolean, recovered: boolean, announced: number, seq: number, id: string | null,
   *          missed: number, gap: boolean} | null} */
  #replay = null;
  #positionSeq = 0;
  #toldSeq = 0; // up to here the stream has told everything from `position` on, or from a gap on

  get messages() {
    return this.#list.all;
  }

  /** @param {string | null} id */
  get(id) {
    return this.#list.get(id);
  }

  /** @returns {Shown | undefined} */
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
    Object.assign(this, { gaps: [], atStart: false, position: null, head: 0, unread: 0, lineSeq: null });
    this.#list.clear();
    this.#late = [];
    this.#replay = null;
    this.#positionSeq = 0;
  }

  // -- The stream

  /**
   * @param {Pick<Joined, "epoch" | "seq" | "id" | "recovered" | "replayed">} frame
   * @param {string} knownEpoch of the log as it was at an earlier visit, or ""
   */
  joined({ epoch, seq, id, recovered, replayed }, knownEpoch = "") {
    const again = this.position !== null;
    if (again && !recovered) this.clear();
    const known = this.epoch || knownEpoch;
    if (known !== "" && known !== epoch) this.anew = true;
    this.epoch = epoch;
    // Where nothing was ever said, nothing can be missing before what comes now.
    if (!again || !recovered) this.atStart = seq === 0 && replayed === 0;
    this.#replay = { again, recovered, announced: replayed, seq, id, missed: 0, gap: false };
    this.#toldSeq = again && recovered ? this.#positionSeq : seq;
  }

  /**
   * Once everything up to the head is in: what happened; else null. The number announced cannot tell: after
   * the last of them a gap may follow.
   * @param {boolean} force nothing more will come, since the last events before the head are such as are not
   *   told any more
   * @returns {CaughtUp | null}
   */
  caughtUp(force = false) {
    const replay = this.#replay;
    if (!replay || (!force && replay.announced > 0 && this.head < replay.seq)) return null;
    this.#replay = null;
    if (replay.id !== null && this.head <= replay.seq && !replay.gap) this.#advance(replay.id, replay.seq);
    const { again, recovered, missed, gap } = replay;
    return { again, recovered, anew: again && !recovered && this.anew, missed, gap };
  }

  /**
   * A message of the stream. Returns whether it is new.
   * @param {Message} frame
   * @param {{own?: boolean, key?: string, seen?: boolean}} facts own, key: as in Shown; seen: somebody is looking
   */
  message(frame, { own = false, key = frame.id, seen = true } = {}) {
    this.#advance(frame.id, frame.seq);
    if (!this.#list.add(frame, { own, key })) return false;
    if (own) return true;
    if (this.#replay?.again) this.#replay.missed += 1;
    if (!seen) this.#noteUnread(frame.seq);
    return true;
  }

  /**
   * An edit, delete, react or unreact of the stream.
   * @param {Change} frame
   */
  change(frame) {
    this.#advance(frame.id, frame.seq);
    // Reactions are not kept: whether a page counts them already cannot be known.
    if (frame.type === "edit" || frame.type === "delete") this.#late = [...this.#late, frame].slice(-LATE_MAX);
    this.#apply(frame);
  }

  /** @param {Gap} gap */
  gap({ from, to, next }) {
    this.gaps = withGap(this.gaps, { from, to, next });
    this.position = next;
    this.#positionSeq = from - 1;
    this.#toldSeq = to;
    this.head = Math.max(this.head, to);
    if (this.#replay) this.#replay.gap = true;
  }

  /**
   * The server's answer to what we said. A repeated answer may be about something older than what is loaded,
   * and must not pass for it.
   * @param {{id: string, seq: number, ts: number, text: string, username: string, user: string | null,
   *          replyTo: string | null}} said
   * @param {string} key
   */
  acked({ id, seq, ts, text, username, user, replyTo }, key) {
    if (this.oldest && seq < this.oldest.seq && !this.atStart) return;
    const said = { id, seq, ts, username, user, text, replyTo, editedMs: 0, reactions: [] };
    this.#list.add(said, { own: true, key });
  }

  /**
   * A copy that did not last, since the message was posted again.
   * @param {string} id
   */
  drop(id) {
    this.#list.drop(id);
  }

  // Everything is seen; the line stays where it was.
  markSeen() {
    this.unread = 0;
  }

  clearLine() {
    if (this.unread === 0) this.lineSeq = null;
  }

  // -- Pages of history

  /**
   * What lies before `seq`.
   * @param {number} seq @param {Page} page @param {AskedFor} asked
   */
  pageBefore(seq, { messages, more }, { asOf, own }) {
    const ends = !more || messages.length === 0;
    this.#page({ messages, asOf, own, low: ends ? 0 : messages[0].seq, high: seq - 1 });
    if (ends && (this.oldest?.seq ?? 0) >= (messages[0]?.seq ?? 0)) this.atStart = true;
  }

  /**
   * What lies in the gap, from its beginning.
   * @param {Gap} gap @param {Page} page @param {AskedFor} asked
   */
  pageInGap(gap, { messages, more }, { asOf, own }) {
    const last = messages.at(-1);
    this.#page({ messages, asOf, own, low: gap.from, high: more && last ? last.seq : gap.to, next: last?.id });
  }

  /**
   * What lies around a message that may be far from all others: then there may be more in between.
   * @param {Page} page @param {AskedFor} asked
   */
  pageAround({ messages }, { asOf, own }) {
    const last = messages.at(-1);
    if (!last) return;
    const low = messages[0].seq;
    const { oldest } = this;
    this.#page({ messages, asOf, own, low, high: last.seq, next: last.id });
    if (oldest && last.seq < oldest.seq - 1) {
      this.gaps = withGap(this.gaps, { from: last.seq + 1, to: oldest.seq - 1, next: last.id });
    }
    if (!oldest || low < oldest.seq) this.atStart = false;
  }

  /**
   * Keeps the newest `max` messages.
   * @param {number} max
   */
  trim(max) {
    if (!this.#list.trim(max)) return;
    this.gaps = this.gaps.filter((gap) => gap.from > this.messages[0].seq);
    this.atStart = false;
  }

  /**
   * Which messages are ours may be learnt later, from another tab.
   * @param {(message: Shown) => boolean} isOwn
   */
  markOwn(isOwn) {
    for (const message of this.messages) {
      if (!message.own && isOwn(message)) this.#list.replace(message, { own: true });
    }
  }

  // -- Inside

  /** @param {string | null} id @param {number} seq */
  #advance(id, seq) {
    if (id !== null) {
      this.position = id;
      this.#positionSeq = seq;
    }
    this.head = Math.max(this.head, seq);
    if (seq <= this.#toldSeq) return;
    // A resumed stream runs through a gap that an earlier one left, from its beginning.
    this.gaps = withoutRange(this.gaps, { low: this.#toldSeq + 1, high: seq, next: id });
    this.#toldSeq = seq;
  }

  /** @param {number} seq */
  #noteUnread(seq) {
    if (this.unread === 0) this.lineSeq = seq;
    this.unread += 1;
  }

  /** @param {Change} change */
  #apply({ type, target, seq, ts, username, text, emoji }) {
    const message = this.#list.get(target);
    if (!message || message.deleted || message.changedSeq >= seq) return;
    const facts = {
      edit: () => ({ text, editedMs: ts }),
      delete: () => ({ text: "", deleted: true, reactions: [], replyTo: null }),
      react: () => ({ reactions: withReaction(message.reactions, { emoji, username }) }),
      unreact: () => ({ reactions: withoutReaction(message.reactions, { emoji, username }) }),
    }[type]();
    this.#list.replace(message, { ...facts, changedSeq: seq });
  }

  /** @param {{messages: Message[], low: number, high: number, next?: string} & AskedFor} page */
  #page({ messages, asOf, own, low, high, next }) {
    const ids = new Set(messages.map((message) => message.id));
    /** @param {Shown} m */
    const isGone = (m) => m.seq >= low && m.seq <= high && m.seq <= asOf && !ids.has(m.id) && !m.deleted;
    for (const gone of this.messages.filter(isGone)) this.drop(gone.id);
    for (const message of messages) this.#merge(message, asOf, own(message));
    for (const late of this.#late) if (late.seq > asOf) this.#apply(late);
    this.gaps = withoutRange(this.gaps, { low, high, next });
  }

  /** @param {Message} frame @param {number} asOf @param {boolean} own */
  #merge(frame, asOf, own) {
    const known = this.#list.get(frame.id);
    if (!known) {
      this.#list.add(frame, { own, key: frame.id });
      return;
    }
    if (known.changedSeq > asOf || known.deleted) return;
    const reactions = withNames(frame.reactions, known.reactions);
    this.#list.replace(known, { text: frame.text, editedMs: frame.editedMs, reactions });
  }
}
