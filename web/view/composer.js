// Where one writes: a box that grows, what is being answered or edited, and why something was not sent.
//
// Enter sends, Shift+Enter starts a line, Up in an empty box edits one's last message, Esc lets go of
// what is being answered or edited. A draft that was there before an edit comes back after it.

import { brief } from "./article.js";
import { setText } from "./dom.js";
import { messageRoom, wellFormed } from "../model/rules.js";

/** @import { Said } from "../model/rows.js" */
/** @import { Ui } from "./dom.js" */
/** @typedef {{kind: "reply" | "edit", message: Said, draft: string}} About */

const READ_ONLY = "You may read here, but not write.";
const TYPING_EVERY_MS = 2500;
const TYPING_IDLE_MS = 4000;
const COUNT_FROM = 1 / 16; // of what is allowed: with less left than that, it is counted down

const number = new Intl.NumberFormat();

export class Composer {
  #ui;
  #handlers;
  /** @type {About | null} */
  #about = null;
  #typingAtMs = 0;
  #idleTimer = 0;

  /**
   * @param {Ui} ui
   * @param {object} handlers
   * @param {(text: string, replyTo: string | null) => string} handlers.onSay returns why not, or ""
   * @param {(message: Said, text: string) => string} handlers.onEdit the same
   * @param {(on: boolean) => void} handlers.onTyping
   * @param {() => Said | null} handlers.lastOwn the message that Up edits
   * @param {() => number} handlers.maxBytes of a message, 0: no limit
   */
  constructor(ui, handlers) {
    this.#ui = ui;
    this.#handlers = handlers;
    ui.composer.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    ui.message.addEventListener("keydown", (event) => this.#onKey(event));
    ui.message.addEventListener("input", () => this.#onInput());
    addEventListener("resize", () => this.#grow());
    ui.aboutCancel.addEventListener("click", () => this.#letGo());
  }

  get text() {
    return this.#ui.message.value;
  }

  /**
   * A fresh start, for a room.
   * @param {{text: string, name: string}} content
   */
  reset({ text, name }) {
    this.#stopTyping(false);
    this.#about = null;
    this.allow(true, name);
    this.#setText(text);
    this.#showAbout();
    this.notice("");
  }

  /**
   * Whether one may write in this room, and under which name; a draft stays.
   * @param {boolean} may
   * @param {string} name
   */
  allow(may, name) {
    const { message, send } = this.#ui;
    message.placeholder = may ? `Message as ${name}` : "";
    if (message.disabled === !may) return;
    message.disabled = !may;
    send.disabled = !may;
    this.notice("");
  }

  // What would be lost if the box went away: the draft, not the edit that stands in its place.
  get draft() {
    return this.#about?.kind === "edit" ? this.#about.draft : this.text;
  }

  focus() {
    this.#ui.message.focus();
  }

  /** @param {string} text */
  notice(text) {
    setText(this.#ui.composerNotice, text || (this.#ui.message.disabled ? READ_ONLY : ""));
  }

  /** @param {Said} message */
  reply(message) {
    this.#endEdit();
    this.#begin({ kind: "reply", message, draft: "" });
  }

  /** @param {Said} message @param {string} text */
  edit(message, text = message.text) {
    this.#endEdit();
    this.#begin({ kind: "edit", message, draft: this.text });
    this.#setText(text);
  }

  /**
   * A text that was not sent comes back, below what is being written.
   * @param {string} text
   * @param {Said | undefined} answered the message it replied to
   */
  takeBack(text, answered) {
    const about = this.#about?.kind === "reply" ? this.#about : null;
    this.#endEdit();
    this.#about = answered ? { kind: "reply", message: answered, draft: "" } : about;
    this.#setText(this.text === "" ? text : `${this.text}\n${text}`);
    this.#showAbout();
    this.focus();
  }

  /**
   * The message is gone: there is nothing to answer or edit any more. The focus may be elsewhere by now.
   * @param {string} id
   */
  forget(id) {
    if (this.#about?.message.id !== id) return;
    this.#endEdit();
    this.#showAbout();
    this.notice("That message was deleted.");
  }

  /** @param {About} about */
  #begin(about) {
    this.#about = about;
    this.#showAbout();
    this.notice("");
    this.focus();
  }

  #endEdit() {
    if (this.#about?.kind === "edit") this.#setText(this.#about.draft);
    this.#about = null;
  }

  #letGo() {
    this.#endEdit();
    this.#showAbout();
    this.notice("");
    this.focus();
  }

  #showAbout() {
    const about = this.#about;
    this.#ui.about.hidden = about === null;
    if (!about) return;
    const { kind, message } = about;
    this.#ui.aboutTitle.textContent = kind === "edit" ? "Editing your message" : `Replying to ${message.username}`;
    this.#ui.aboutText.textContent = brief(message.text);
  }

  #submit() {
    const text = wellFormed(this.text);
    if (text.trim() === "") return;
    const about = this.#about;
    const problem = about?.kind === "edit"
      ? this.#handlers.onEdit(about.message, text)
      : this.#handlers.onSay(text, about?.message.id ?? null);
    this.notice(problem);
    if (problem) return;
    this.#stopTyping(false);
    this.#about = null;
    this.#setText(about?.kind === "edit" ? about.draft : "");
    this.#showAbout();
    this.focus();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    // Keys that belong to a word of an input method (229: Safari reports the end too early) are not ours.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "Escape" && this.#about) {
      event.preventDefault();
      this.#letGo();
    } else if (event.key === "ArrowUp" && this.text === "" && !this.#about) {
      const message = this.#handlers.lastOwn();
      if (!message) return;
      event.preventDefault();
      this.edit(message);
    }
  }

  #onInput() {
    this.#grow();
    this.#count();
    this.notice("");
    if (this.#about?.kind === "edit") return;
    if (this.text.trim() === "") return this.#stopTyping(true);
    const nowMs = performance.now();
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => this.#stopTyping(true), TYPING_IDLE_MS);
    if (this.#typingAtMs !== 0 && nowMs - this.#typingAtMs < TYPING_EVERY_MS) return;
    this.#typingAtMs = nowMs;
    this.#handlers.onTyping(true);
  }

  /** @param {boolean} tell nothing follows that would tell it, as a message does */
  #stopTyping(tell) {
    clearTimeout(this.#idleTimer);
    if (this.#typingAtMs !== 0 && tell) this.#handlers.onTyping(false);
    this.#typingAtMs = 0;
  }

  /** @param {string} text */
  #setText(text) {
    this.#ui.message.value = text;
    this.#grow();
    this.#count();
  }

  #count() {
    const maxBytes = this.#handlers.maxBytes();
    const { left, excess } = messageRoom(this.text, maxBytes);
    const { counter } = this.#ui;
    counter.hidden = left > maxBytes * COUNT_FROM || maxBytes === 0;
    counter.classList.toggle("over", excess > 0);
    setText(counter, excess > 0 ? `${number.format(excess)} too many` : `${number.format(left)} bytes left`);
  }

  // The box is as high as its text, within what app.css allows.
  #grow() {
    const { message } = this.#ui;
    message.style.height = "auto";
    const borders = message.offsetHeight - message.clientHeight; // scrollHeight is without them
    message.style.height = `${message.scrollHeight + borders}px`;
  }
}
