// The screen of a room: brings the conversation and the parts that show it together.
//
// Invariants
//   1. Drawing happens at most once a frame, from the whole state: nothing here has to know what changed.
//   2. Each stay in a room has a conversation of its own. After an await the page may have another one. What
//      came too late goes to the one it was asked for, which nobody looks at any more, and says nothing.

import { Conversation } from "../model/conversation.js";
import { memory } from "../model/memory.js";
import { Ours } from "../model/ours.js";
import { rowsOf } from "../model/rows.js";
import { Actions } from "./actions.js";
import { Composer } from "./composer.js";
import { setText } from "./dom.js";
import { here } from "./location.js";
import { LogView } from "./log.js";
import { Side } from "./side.js";
import { StatusView } from "./status.js";

/** @import { Viewer } from "../model/conversation.js" */
/** @import { Match } from "../model/search.js" */
/** @import { Ui } from "./dom.js" */

export class Chat {
  #ui;
  #onUnread;
  #log;
  #side;
  #status;
  /** @type {Composer} */
  #composer;
  /** @type {Actions} */
  #actions;
  #ours = new Ours(() => this.#conversation?.markOwn());
  /** @type {Conversation | null} */
  #conversation = null;
  #drawPlanned = false;
  #hush = false; // what is drawn next is no news
  /** @type {Match | null} */
  #match = null;

  /**
   * @param {Ui} ui
   * @param {{onUnread: (count: number) => void}} handlers
   */
  constructor(ui, { onUnread }) {
    this.#ui = ui;
    this.#onUnread = onUnread;
    this.#status = new StatusView(ui);
    this.#log = new LogView({
      log: ui.log, empty: ui.empty, jump: ui.newMessages,
      handlers: {
        onAction: (act, row, acting) => this.#actions.act(act, row, acting),
        onNearTop: () => this.#actions.loadOlder(),
        onEnd: () => this.#conversation?.onLook(),
      },
    });
    this.#composer = new Composer(ui, {
      onSay: (text, replyTo) => this.#say(text, replyTo),
      onEdit: (message, text) => this.#actions.edit(message, text),
      onTyping: (on) => this.#conversation?.tellTyping(on),
      lastOwn: () => this.#actions.lastOwn(),
      maxBytes: () => this.#conversation?.messageMaxBytes ?? 0,
    });
    this.#actions = new Actions(ui, {
      log: this.#log, composer: this.#composer, status: this.#status,
      conversation: () => this.#conversation,
      draw: () => this.#draw(), drawNow: () => this.#drawNow(),
    });
    this.#side = new Side(ui, {
      messages: () => this.#conversation?.room.messages ?? [],
      complete: () => this.#isComplete(),
      solidFrom: () => this.#conversation?.room.solidFrom?.id,
      fetchOlder: (page) => this.#actions.request({ type: "history", ...page }),
      onJump: (id) => this.#actions.jumpTo(id),
      onMatch: (match) => this.#mark(match),
      onShow: () => this.#conversation?.presence.show(),
    });
    this.#listen();
  }

  #listen() {
    this.#ui.retry.addEventListener("click", () => this.#conversation?.session.retryNow());
    this.#ui.newMessages.addEventListener("click", () => this.#composer.focus());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#conversation?.session.nudge();
      this.#conversation?.onLook();
    });
    addEventListener("pageshow", (event) => {
      if (event.persisted) this.#conversation?.session.nudge();
    });
    addEventListener("pagehide", () => this.#conversation?.remember());
  }

  // -- Coming and going

  /** @param {{room: string, name: string, draft: string}} where */
  enter({ room, name, draft }) {
    this.#conversation = new Conversation({ base: here(), room, name, ours: this.#ours, viewer: this.#viewer() });
    this.#ui.roomName.textContent = room;
    this.#status.reset();
    this.#composer.reset({ text: draft, name });
    this.#side.reset();
    this.#log.scrollToEnd();
    this.#draw();
    this.#conversation.start();
    this.#composer.focus();
  }

  leave() {
    this.#conversation?.leave();
    this.#conversation = null;
    this.#actions.close();
  }

  /** @param {string} name of whoever is the person at this browser, with another device */
  claim(name) {
    this.#ours.claim(name);
  }

  /** @param {string} name */
  hasClaimed(name) {
    return this.#ours.hasClaimed(name);
  }

  // What is being written or is not confirmed, as one text.
  get draft() {
    const texts = this.#conversation?.sender.outbox.all().map((entry) => entry.text) ?? [];
    return [...texts, this.#composer.draft].join("\n").trim();
  }

  // Messages that the server has not confirmed.
  get unconfirmed() {
    return this.#conversation?.sender.outbox.size ?? 0;
  }

  /** @param {string} text */
  notice(text) {
    this.#composer.notice(text);
  }

  /** @param {string} text */
  announce(text) {
    this.#status.announce(text);
  }

  // -- The conversation

  /** @returns {Viewer} */
  #viewer() {
    return {
      isLooking: () => !document.hidden && this.#log.atEnd,
      isAtEnd: () => this.#log.atEnd,
      isListed: () => this.#side.shows === "people",
      onChange: (bulk) => {
        this.#hush ||= bulk;
        this.#draw();
      },
      onState: (state, again) => this.#status.show(state, again),
      onLive: (done) => {
        this.#status.live(done);
        if (!done) this.#status.announce("Connected");
      },
      onUnread: (count) => this.#onUnread(count),
      onDelete: (id) => this.#composer.forget(id),
      onNotice: (text) => text && this.#status.notice(text),
      onPeople: (people, name) => this.#side.showPeople(people, name),
      onTyping: (text) => setText(this.#ui.typing, text),
    };
  }

  /** @param {string} text @param {string | null} replyTo */
  #say(text, replyTo) {
    const problem = this.#conversation?.say(text, replyTo) ?? "";
    if (problem === "") this.#log.scrollToEnd();
    return problem;
  }

  #isComplete() {
    const room = this.#conversation?.room;
    return room !== undefined && room.atStart && room.gaps.length === 0;
  }

  /** @param {Match | null} match */
  #mark(match) {
    this.#match = match;
    this.#log.highlight(match);
  }

  // -- Drawing

  #draw() {
    if (this.#drawPlanned) return;
    this.#drawPlanned = true;
    requestAnimationFrame(() => {
      this.#drawPlanned = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    if (!this.#conversation) return;
    const { room, sender, pager, name, live, mayWrite } = this.#conversation;
    this.#composer.allow(mayWrite, name);
    const rows = rowsOf({
      room, entries: sender.outbox.all(), name, older: pager.older, loading: pager.loading,
      mine: (message) => this.#ours.reactionsOf(message, name),
    });
    this.#log.render(rows, { hush: this.#hush, unread: room.unread, empty: live });
    this.#ui.emptyQuiet.hidden = room.anew;
    this.#ui.emptyAnew.hidden = !room.anew;
    this.#ui.touchHint.hidden = room.messages.length === 0 || memory.get("pressed") !== "";
    this.#actions.follow();
    this.#hush = false;
    if (this.#match) this.#log.highlight(this.#match);
    this.#side.refresh();
    if (this.#log.nearTop) this.#actions.loadOlder();
  }
}
