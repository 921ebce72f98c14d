// What can be done with one message: a menu. It is a modal dialog, so focus stays in it, Esc closes it,
// and focus returns to where it was; on a narrow screen app.css makes it a sheet at the bottom.
//
// Ways in: the bar of hover.js, a right click, a long press, Enter on a focused message.

import { button, closest, element } from "./dom.js";
import { fullTimeOf } from "./text.js";

/** @import { MessageRow } from "../model/rows.js" */
/** @import { May, Point } from "./actions.js" */
/** @import { LogView } from "./log.js" */

const EMOJI = ["👍", "❤️", "😂", "😮", "😢", "🎉"];
const LONG_PRESS_MS = 450;
const PRESS_SLOP_PX = 10;
const MARGIN_PX = 8;

/** @type {Record<string, number>} */
const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

const ITEMS = [
  ["reply", "Reply"], ["edit", "Edit"], ["copy", "Copy text"], ["quote", "Show what it answers"],
  ["mine", "That was me"], ["delete", "Delete"],
];

export class MessageMenu {
  #dialog;
  #time = element("time", "when");
  #faces = EMOJI.map((emoji) => {
    const face = button("react", "face", emoji);
    face.dataset.emoji = emoji;
    face.setAttribute("aria-label", `React with ${emoji}`);
    return face;
  });
  #log;
  #view;
  #may;
  #onChoice;
  #onPress;
  /** @type {MessageRow | null} */
  #row = null;
  /** @type {Point & {timer: number} | null} */
  #press = null;
  #armed = false; // a pointer went down since the menu opened: the one that opened it chooses nothing

  /**
   * @param {object} options
   * @param {HTMLDialogElement} options.dialog
   * @param {HTMLElement} options.log
   * @param {LogView} options.view
   * @param {(row: MessageRow) => May} options.may what is possible
   * @param {(act: string, row: MessageRow, emoji?: string) => void} options.onChoice
   * @param {() => void} options.onPress a long press has opened it
   */
  constructor({ dialog, log, view, may, onChoice, onPress }) {
    this.#dialog = dialog;
    this.#log = log;
    this.#view = view;
    this.#may = may;
    this.#onChoice = onChoice;
    this.#onPress = onPress;
    this.#fill();
    dialog.addEventListener("pointerdown", (event) => this.#onPointerDown(event));
    dialog.addEventListener("click", (event) => this.#onClick(event));
    dialog.addEventListener("keydown", (event) => this.#onKey(event));
    log.addEventListener("contextmenu", (event) => this.#onContextMenu(event));
    this.#listenToPresses();
  }

  /**
   * @param {MessageRow} row
   * @param {Point} at on a narrow screen it does not matter
   */
  open(row, at) {
    /** @type {Record<string, boolean>} */
    const may = this.#may(row);
    if (!Object.values(may).some(Boolean)) return;
    this.#row = row;
    for (const item of this.#dialog.querySelectorAll("button")) item.hidden = !may[item.dataset.act ?? ""];
    const mine = row.mine.split("\n");
    for (const face of this.#faces) {
      face.setAttribute("aria-pressed", `${mine.includes(face.dataset.emoji ?? "")}`);
    }
    this.#time.textContent = fullTimeOf(row.message.ts);
    this.#armed = false;
    this.#dialog.showModal();
    this.#place(at);
  }

  close() {
    this.#dialog.close();
  }

  #fill() {
    this.#dialog.append(
      element("div", "faces", ...this.#faces),
      ...ITEMS.map(([act, label]) => button(act, "item", label)),
      this.#time,
    );
  }

  /** @param {Point} at */
  #place({ x, y }) {
    const { width, height } = this.#dialog.getBoundingClientRect();
    const left = Math.max(MARGIN_PX, Math.min(x, innerWidth - width - MARGIN_PX));
    const top = Math.max(MARGIN_PX, Math.min(y, innerHeight - height - MARGIN_PX));
    this.#dialog.style.setProperty("--left", `${left}px`);
    this.#dialog.style.setProperty("--top", `${top}px`);
  }

  /**
   * Beside the menu is "outside of it": what shows there is the dialog's backdrop.
   * @param {PointerEvent} event
   */
  #onPointerDown(event) {
    this.#armed = true;
    const { left, right, top, bottom } = this.#dialog.getBoundingClientRect();
    const { clientX: x, clientY: y } = event;
    if (x < left || x > right || y < top || y > bottom) this.#dialog.close();
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const chosen = closest(event, "[data-act]");
    const byKeyboard = event.detail === 0;
    if (!chosen || !this.#row || !(this.#armed || byKeyboard)) return;
    this.#dialog.close();
    this.#onChoice(chosen.dataset.act ?? "", this.#row, chosen.dataset.emoji);
  }

  /**
   * Arrows as well as Tab, as menus have it.
   * @param {KeyboardEvent} event
   */
  #onKey(event) {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...this.#dialog.querySelectorAll("button")].filter((item) => !item.hidden);
    const now = items.findIndex((item) => item === document.activeElement);
    items.at((now + step) % items.length)?.focus();
  }

  // -- Other ways in

  /**
   * The browser's own menu stays where text is selected, and on links.
   * @param {MouseEvent} event
   */
  #onContextMenu(event) {
    const article = closest(event, "article");
    if (!article || closest(event, "a") || !getSelection()?.isCollapsed) return;
    event.preventDefault();
    this.#press = null;
    this.#openFor(article, { x: event.clientX, y: event.clientY });
  }

  /** @param {Element} article @param {Point} at */
  #openFor(article, at) {
    const row = this.#view.rowOf(article);
    if (row?.kind === "message" && !this.#dialog.open) this.open(row, at);
  }

  // -- The finger. iOS sends no contextmenu; where one comes as well, the first wins.

  #listenToPresses() {
    const log = this.#log;
    const end = () => {
      clearTimeout(this.#press?.timer);
      this.#press = null;
    };
    log.addEventListener("pointerdown", (event) => {
      const article = closest(event, "article");
      if (event.pointerType === "mouse" || !article || closest(event, "a, button")) return;
      const { clientX: x, clientY: y } = event;
      const timer = setTimeout(() => {
        this.#press = null;
        this.#openFor(article, { x, y });
        this.#onPress();
      }, LONG_PRESS_MS);
      this.#press = { x, y, timer };
    });
    log.addEventListener("pointermove", ({ clientX, clientY }) => {
      const press = this.#press;
      if (press && Math.hypot(clientX - press.x, clientY - press.y) > PRESS_SLOP_PX) end();
    });
    for (const type of ["pointerup", "pointercancel", "scroll"]) log.addEventListener(type, end, { passive: true });
  }
}
