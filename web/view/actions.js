// What can be done with a message: what of it is possible, and doing it. The ways to it are the menu, the bar
// under the mouse, and whatever has data-act in the log.

import { RequestError } from "../client/session.js";
import { memory } from "../model/memory.js";
import { messageProblem } from "../model/rules.js";
import { copyText } from "./dom.js";
import { HoverBar } from "./hover.js";
import { MessageMenu } from "./menu.js";

/** @import { Request } from "../client/types.js" */
/** @import { Conversation } from "../model/conversation.js" */
/** @import { Shown } from "../model/messages.js" */
/** @import { MessageRow, Row, Said } from "../model/rows.js" */
/** @import { Composer } from "./composer.js" */
/** @import { Ui } from "./dom.js" */
/** @import { LogView } from "./log.js" */
/** @import { StatusView } from "./status.js" */

/** @typedef {{x: number, y: number}} Point in the viewport */
/** @typedef {"react" | "reply" | "quote" | "copy" | "edit" | "delete" | "mine"} Act */
/** @typedef {Partial<Record<Act, boolean>>} May */

export class Actions {
  #ui;
  #log;
  #composer;
  #status;
  #conversation;
  #draw;
  #drawNow;
  #menu;
  #hover;

  /**
   * @param {Ui} ui
   * @param {object} options
   * @param {LogView} options.log
   * @param {Composer} options.composer
   * @param {StatusView} options.status
   * @param {() => Conversation | null} options.conversation
   * @param {() => void} options.draw
   * @param {() => void} options.drawNow
   */
  constructor(ui, { log, composer, status, conversation, draw, drawNow }) {
    this.#ui = ui;
    this.#log = log;
    this.#composer = composer;
    this.#status = status;
    this.#conversation = conversation;
    this.#draw = draw;
    this.#drawNow = drawNow;
    this.#menu = new MessageMenu({
      dialog: ui.menu, log: ui.log, view: log,
      may: (row) => this.#may(row),
      onChoice: (act, row, emoji) => this.#choose(act, row, emoji),
      onPress: () => this.#onPress(),
    });
    this.#hover = new HoverBar({
      bar: ui.hover, log: ui.log, view: log,
      may: (row) => this.#may(row),
      onChoice: (act, row, at) => (act === "menu" ? this.#openMenu(row, at) : this.#choose(act, row)),
    });
  }

  // The room is left.
  close() {
    this.#menu.close();
    this.#hover.hide();
  }

  // The log was drawn.
  follow() {
    this.#hover.follow();
  }

  /** @param {Request} frame */
  async request(frame) {
    const conversation = this.#conversation();
    if (!conversation) throw new RequestError("lost", "There is no connection right now.");
    return conversation.request(frame);
  }

  /**
   * For what a person asked for: if it does not happen, why not stands above the composer.
   * @template T
   * @param {string} what
   * @param {Promise<T>} doing
   */
  async #try(what, doing) {
    const conversation = this.#conversation();
    try {
      return await doing;
    } catch (error) {
      if (conversation === this.#conversation()) {
        this.#composer.notice(`${what} ${/** @type {Error} */ (error).message}`);
      }
      return null;
    }
  }

  /** @param {Row | null} row @returns {May} */
  #may(row) {
    if (row?.kind !== "message") return {};
    const { message, state } = row;
    const there = message.id !== null && state !== "failed" && !message.deleted;
    const conversation = this.#conversation();
    const mine = there && (conversation?.mayChange(message) ?? false);
    const writes = there && (conversation?.mayWrite ?? false);
    return {
      react: writes, reply: writes, quote: there && message.replyTo !== null, copy: !message.deleted,
      edit: mine && writes, delete: mine, mine: there && !message.own && message.username === conversation?.name,
    };
  }

  // What Up in an empty composer edits.
  lastOwn() {
    const conversation = this.#conversation();
    return conversation?.room.messages.findLast((m) => m.own && conversation.mayChange(m)) ?? null;
  }

  /**
   * Something with data-act in the log.
   * @param {string} act
   * @param {Row | null} row
   * @param {HTMLElement} acting
   */
  act(act, row, acting) {
    if (act === "load-older") return this.loadOlder(true);
    if (row?.kind === "gap") return this.#loadGap(row.to);
    if (row?.kind !== "message") return undefined;
    switch (act) {
      case "menu": {
        const { left, bottom } = (acting.querySelector(".bubble") ?? acting).getBoundingClientRect();
        return this.#openMenu(row, { x: left, y: bottom + 4 });
      }
      case "retry":
      case "take-back":
      case "discard": return this.#settle(act, row);
      default: return this.#choose(act, row, acting.dataset.emoji);
    }
  }

  /**
   * The row may have aged while the menu was open over it.
   * @param {string} act
   * @param {MessageRow} row
   * @param {string} [emoji]
   */
  async #choose(act, row, emoji) {
    const conversation = this.#conversation();
    const { id } = row.message;
    const message = conversation?.room.get(id) ?? row.message;
    if (message.deleted) return this.#composer.notice("That message was deleted.");
    switch (act) {
      case "reply": return this.#composer.reply(message);
      case "edit": return this.#composer.edit(message);
      case "copy": return this.#copy(message.text);
      case "mine": return conversation?.claim(message.username);
      case "quote": return message.replyTo && this.jumpTo(message.replyTo);
      case "react": return emoji && id && this.#try("That did not work.", this.#react(id, emoji));
      case "delete": return id && this.#delete(id, message.text);
      default: return undefined;
    }
  }

  /** @param {string} id @param {string} emoji */
  async #react(id, emoji) {
    await this.#conversation()?.react(id, emoji);
  }

  /** @param {MessageRow} row @param {Point} at */
  #openMenu(row, at) {
    this.#hover.hide();
    this.#menu.open(row, at);
  }

  // Who found out needs no hint any more.
  #onPress() {
    memory.set("pressed", "yes");
    this.#draw();
  }

  /**
   * A message that was not sent: the person decides.
   * @param {"retry" | "take-back" | "discard"} act
   * @param {MessageRow} row
   */
  #settle(act, row) {
    const conversation = this.#conversation();
    const entry = conversation?.sender.outbox.get(row.nonce);
    if (!conversation || !entry) return;
    if (act === "retry") conversation.sender.retry(entry);
    else conversation.sender.giveUp(entry);
    if (act === "take-back") this.#composer.takeBack(entry.text, conversation.room.get(entry.replyTo));
    else this.#composer.focus();
  }

  /**
   * Returns why not, or "".
   * @param {Said} message
   * @param {string} text
   */
  edit(message, text) {
    const conversation = this.#conversation();
    if (!conversation || text === message.text) return "";
    const problem = messageProblem(text, conversation.messageMaxBytes);
    if (problem) return problem;
    if (!conversation.live) return "Not saved: there is no connection. Your text is still here.";
    conversation.request({ type: "edit", id: message.id, message: text }).catch((error) => {
      if (conversation !== this.#conversation()) return;
      if (this.#composer.text === "") this.#composer.edit(message, text);
      this.#composer.notice(`Not saved. ${error.message}`);
    });
    return "";
  }

  /** @param {string} id @param {string} text */
  #delete(id, text) {
    const { confirmDelete, deleteText } = this.#ui;
    confirmDelete.returnValue = "";
    deleteText.textContent = text;
    confirmDelete.showModal();
    confirmDelete.onclose = () => {
      if (confirmDelete.returnValue === "delete") this.#try("Not deleted.", this.request({ type: "delete", id }));
    };
  }

  /** @param {string} text */
  async #copy(text) {
    const copied = await copyText(text);
    this.#composer.notice(copied ? "" : "Copying is not allowed here.");
    if (copied) this.#status.toast("Text copied");
  }

  // -- What is not loaded

  /** @param {string} id */
  async jumpTo(id) {
    const conversation = this.#conversation();
    if (!conversation) return;
    const found = await this.#try("That message could not be loaded.", conversation.pager.find(id));
    if (found === null || conversation !== this.#conversation()) return;
    this.#composer.notice(found ? "" : "That message is no longer there.");
    if (!found) return;
    this.#drawNow();
    this.#log.reveal(id);
  }

  /** @param {boolean} asked by a person, so that a failure before does not count */
  loadOlder(asked = false) {
    const conversation = this.#conversation();
    if (!conversation?.live) return;
    const { pager } = conversation;
    if (pager.older === "more" || (asked && pager.older === "failed")) pager.loadOlder();
  }

  /** @param {number} to */
  async #loadGap(to) {
    await this.#try("Not loaded.", this.#conversation()?.pager.loadGap({ to }) ?? Promise.resolve());
  }
}
