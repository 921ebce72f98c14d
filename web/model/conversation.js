// Being in a room, from entering to leaving: takes what the session delivers to Room, Sender and Presence, and
// what a person asks for to the session. Who shows it hears when something has changed, and shows all of it.
//
// What was said before the stream has caught up waits: only then is known what had arrived.

import { Pager } from "../client/pager.js";
import { RequestError, Session } from "../client/session.js";
import { GuestKey } from "./guest_key.js";
import { Presence } from "./presence.js";
import { ReadMarker } from "./read_marker.js";
import { Room } from "./room.js";
import { MESSAGE_MAX_BYTES, mayWrite } from "./rules.js";
import { Sender } from "./sender.js";

/** @import { State as ConnectionState } from "../client/connection.js" */
/** @import { Change, Frame, Gap, Joined, Message, Request, Welcome } from "../client/types.js" */
/** @import { Ours } from "./ours.js" */
/** @import { People } from "./people.js" */
/** @import { CaughtUp } from "./room.js" */
/** @typedef {ConnectionState | {name: "catching-up" | "live"}} State */

/**
 * Who shows the conversation. Once it is left, nothing is called any more.
 * @typedef {object} Viewer
 * @property {() => boolean} isLooking whether somebody sees the newest messages
 * @property {() => boolean} isAtEnd whether the newest are shown, be the page in view or not
 * @property {() => boolean} isListed whether somebody looks at who is here
 * @property {(bulk: boolean) => void} onChange bulk: what has come is no news
 * @property {(state: State, again: boolean) => void} onState again: we were in before; also called for the time
 * @property {(done: CaughtUp | null) => void} onLive what coming back brought; null: we are in for the first time
 * @property {(count: number) => void} onUnread
 * @property {(id: string) => void} onDelete
 * @property {(text: string) => void} onNotice of the server
 * @property {(people: People, name: string) => void} onPeople
 * @property {(text: string) => void} onTyping
 */

const KEEP_AT_END = 500; // messages on the page while its end is in view
const KEEP_MAX = 3000; // while somebody reads further up
const KEEP_SLACK = 100; // so many are taken away at once: each time moves all that is below
const CATCH_UP_QUIET_MS = 2000; // nothing more comes, although the head is not reached
const TICK_MS = 500;

export class Conversation {
  room = new Room();
  messageMaxBytes = MESSAGE_MAX_BYTES;
  mayWrite = true; // as far as is known
  name;
  /** @type {string | null} */
  user = null; // who we are, as the server says
  pager;
  presence;
  sender;
  session;
  #ours;
  #viewer;
  #marker;
  #guestKey;
  #keyRefused = false; // and dropped
  #left = false;
  /** @type {State} */
  #state = { name: "closed" };
  #again = false; // we were in this room before the connection was lost
  /** @type {CaughtUp} */
  #caughtUp = { again: false, recovered: true, anew: false, missed: 0, gap: false };
  #tickTimer = 0;
  #quietTimer = 0;

  /** @param {{base: string, room: string, name: string, ours: Ours, viewer: Viewer}} options see Session */
  constructor({ base, room, name, ours, viewer }) {
    this.name = name;
    this.#ours = ours;
    this.#viewer = viewer;
    this.#guestKey = new GuestKey({ base, name });
    this.#marker = new ReadMarker({ room: this.room, roomName: room, name });
    this.pager = new Pager({
      room: this.room, max: KEEP_MAX,
      ask: (page) => this.request({ type: "history", ...page }),
      own: (message) => ours.isOwn(message, this),
      onChange: () => this.#left || viewer.onChange(true),
    });
    this.sender = new Sender({
      room: this.room, ours, me: () => this, isLive: () => this.live,
      request: (frame) => this.request(frame),
      onChange: () => this.#left || viewer.onChange(false),
    });
    this.presence = new Presence({
      name, ask: () => this.request({ type: "who" }),
      isListed: viewer.isListed, onPeople: viewer.onPeople, onTyping: viewer.onTyping,
    });
    this.session = new Session({
      base, room, name, guestKey: () => this.#guestKey.text, since: () => this.room.position,
      handlers: { onState: (state) => this.#onState(state), onFrame: (frame) => this.#onFrame(frame) },
    });
  }

  // -- Coming and going

  start() {
    this.presence.show();
    this.presence.tick();
    this.#tickTimer = setInterval(() => this.#onTick(), TICK_MS);
    this.session.start();
  }

  leave() {
    this.remember();
    this.#left = true;
    clearInterval(this.#tickTimer);
    clearTimeout(this.#quietTimer);
    this.presence.stop();
    this.session.stop();
  }

  get live() {
    return !this.#left && this.#state.name === "live";
  }

  // Somebody is looking (again): at the page, or at its end.
  onLook() {
    this.#noteSeen();
    this.#viewer.onChange(false);
  }

  // How far was read, for the next visit.
  remember() {
    this.#marker.remember(this.name);
  }

  /**
   * Resolves with the answer, rejects with a RequestError.
   * @param {Request} frame
   */
  async request(frame) {
    if (!this.live) throw new RequestError("lost", "There is no connection right now.");
    return this.session.request(frame);
  }

  /** @param {boolean} on */
  tellTyping(on) {
    if (this.live) this.session.tell({ type: "typing", on });
  }

  /** @param {State} state */
  #setState(state) {
    this.#state = state;
    this.#viewer.onState(state, this.#again);
  }

  /** @param {ConnectionState} state */
  #onState(state) {
    if (this.#left) return;
    if (state.name === "refused" && this.#keyRefused) {
      this.#keyRefused = false;
      this.session.retryNow(); // for a new one
      return;
    }
    this.#setState(state);
    if (state.name === "connecting" || state.name === "connected") return;
    clearTimeout(this.#quietTimer);
    this.presence.lost();
    this.remember(); // the room may not be the same when we are back
    if (state.name === "refused") this.sender.outbox.giveUp();
    this.#viewer.onChange(false);
  }

  #onTick() {
    this.#viewer.onState(this.#state, this.#again);
    this.presence.tick();
    this.remember();
    const { position } = this.room;
    if (!this.live || !this.#viewer.isLooking() || !this.#marker.isToTell(this.presence.count)) return;
    this.request({ type: "read", id: position }).catch(() => {});
  }

  // -- What the server says

  /** @param {Frame} frame */
  #onFrame(frame) {
    if (this.#left) return;
    switch (frame.type) {
      case "welcome": return this.#onWelcome(frame);
      case "joined": return this.#onJoined(frame);
      case "message": return this.#onMessage(frame);
      case "edit":
      case "delete":
      case "react":
      case "unreact": return this.#onChange(frame);
      case "gap": return this.#onGap(frame);
      case "presence": return this.presence.presence(frame);
      case "typing": return this.presence.typing(frame);
      case "error":
        if (frame.code === "bad_guest_key") this.#keyRefused = this.#guestKey.drop();
        return undefined;
      case "notice": return this.#viewer.onNotice(frame.detail);
      default: return undefined; // answers go to who asked
    }
  }

  /** @param {Welcome} frame */
  #onWelcome({ username, user, guestKey, messageMaxBytes }) {
    this.name = username || this.name;
    this.user = user;
    if (guestKey !== "") this.#guestKey.keep(guestKey);
    this.messageMaxBytes = messageMaxBytes ?? this.messageMaxBytes;
  }

  /** @param {Joined} frame */
  #onJoined(frame) {
    this.#again = this.room.position !== null;
    this.mayWrite = mayWrite(frame.right);
    this.room.joined(frame, this.#marker.epoch);
    this.#marker.joined(frame);
    this.presence.joined({ name: this.name, count: frame.members });
    this.#setState({ name: "catching-up" });
    this.#afterStream();
  }

  /** @param {Message} frame */
  #onMessage(frame) {
    const entry = this.sender.echo(frame);
    const own = entry !== null || this.#ours.isOwn(frame, this);
    const seen = this.#marker.isSeen(frame.seq, this.#viewer.isLooking());
    this.room.message(frame, { own, key: entry?.nonce, seen });
    this.presence.typing({ username: frame.username, on: false });
    this.#afterStream();
  }

  /** @param {Change} frame */
  #onChange(frame) {
    this.room.change(frame);
    if (frame.type === "delete") this.#viewer.onDelete(frame.target);
    this.#afterStream();
  }

  /** @param {Gap} gap */
  #onGap(gap) {
    if (!this.room.replaying) { // a slow server: we thought that nothing more would come
      this.#caughtUp = { ...this.#caughtUp, again: true, gap: true };
      this.#viewer.onLive(this.#caughtUp);
    }
    this.room.gap(gap);
    this.#afterStream();
    this.pager.refreshBefore(gap).catch(() => {}); // lost again: the next resume decides anew
    this.pager.closeIfEmpty(gap.to);
  }

  // After every frame of the stream.
  #afterStream() {
    clearTimeout(this.#quietTimer);
    const { room } = this;
    const bulk = room.replaying;
    if (bulk) {
      const done = room.caughtUp();
      if (done) this.#onLive(done);
      else this.#quietTimer = setTimeout(() => this.#onQuiet(), CATCH_UP_QUIET_MS);
    }
    const keep = this.#viewer.isAtEnd() ? KEEP_AT_END : KEEP_MAX;
    if (room.messages.length > keep + KEEP_SLACK) room.trim(keep);
    this.#noteSeen();
    this.#viewer.onChange(bulk);
  }

  #onQuiet() {
    const done = this.room.caughtUp(true);
    if (done) this.#onLive(done);
  }

  /** @param {CaughtUp} done */
  #onLive(done) {
    this.#setState({ name: "live" });
    this.#caughtUp = done;
    this.#viewer.onLive(done.again ? done : null);
    this.pager.wake();
    this.sender.resume(done.recovered && !done.gap);
    this.presence.refresh();
    if (this.room.messages.length === 0 && this.room.head > 0) this.pager.loadNewest().catch(() => {});
    this.#noteSeen();
    this.#viewer.onChange(false);
  }

  #noteSeen() {
    if (this.#viewer.isLooking() && !this.room.replaying) this.room.markSeen();
    this.#viewer.onUnread(this.room.unread);
  }

  // -- What is ours

  // What is known of it has changed.
  markOwn() {
    this.room.markOwn((message) => this.#ours.isOwn(message, this));
    this.#viewer.onChange(false);
  }

  /**
   * As the server decides: what has no user is nobody's, whatever we remember.
   * @param {{user: string | null, deleted: boolean}} message
   */
  mayChange({ user, deleted }) {
    return user !== null && user === this.user && !deleted;
  }

  /** @param {string} name of whoever is the person at this browser, with another device */
  claim(name) {
    this.#ours.claim(name);
    this.markOwn();
  }

  /**
   * Reacts, or takes the reaction back.
   * @param {string} id
   * @param {string} emoji
   */
  async react(id, emoji) {
    const message = this.room.get(id);
    if (!message) return;
    const on = !this.#ours.reactionsOf(message, this.name).split("\n").includes(emoji);
    await this.request({ type: on ? "react" : "unreact", id, emoji });
    this.#ours.setReaction({ id, emoji, name: this.name }, on);
    this.#viewer.onChange(false);
  }

  /**
   * Returns why it cannot be said, or "".
   * @param {string} text
   * @param {string | null} replyTo
   */
  say(text, replyTo) {
    if (this.#state.name === "refused") return "Not sent: there is no connection. Your text is still here.";
    return this.sender.say({ text, replyTo, maxBytes: this.messageMaxBytes });
  }
}
