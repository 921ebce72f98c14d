// What a mouse that rests on a message shows of it: its time, and buttons for what is done most often.
//
// The log moves under a resting mouse while others talk. So the bar belongs to whatever is under the mouse
// now, and is looked up again whenever the log was drawn or scrolled; but while the mouse is on the bar
// itself, the bar stays where it is, for the message it was opened for: nobody's click is to land on
// another one.

import { closest } from "./dom.js";
import { fullTimeOf, timeOf } from "./text.js";

/** @import { MessageRow } from "../model/rows.js" */
/** @import { May, Point } from "./actions.js" */
/** @import { LogView } from "./log.js" */

const GAP_PX = 4; // between two messages there is as much that belongs to none
const MARGIN_PX = 16;

export class HoverBar {
  #bar;
  #frame;
  #view;
  #may;
  #onChoice;
  /** @type {MessageRow | null} */
  #row = null;
  /** @type {Point | null} */
  #mouse = null; // null: it is elsewhere
  #planned = false;

  /**
   * @param {object} options
   * @param {HTMLElement} options.bar
   * @param {HTMLElement} options.log
   * @param {LogView} options.view
   * @param {(row: MessageRow) => May} options.may what is possible
   * @param {(act: string, row: MessageRow, at: Point) => void} options.onChoice at: for what opens there
   */
  constructor({ bar, log, view, may, onChoice }) {
    this.#bar = bar;
    this.#frame = /** @type {HTMLElement} */ (log.parentElement);
    this.#view = view;
    this.#may = may;
    this.#onChoice = onChoice;
    this.#frame.addEventListener("pointermove", (event) => this.#onMove(event));
    this.#frame.addEventListener("pointerleave", () => this.hide());
    log.addEventListener("scroll", () => this.#plan(), { passive: true });
    bar.addEventListener("click", (event) => this.#onClick(event));
  }

  // Until the mouse moves again.
  hide() {
    this.#mouse = null;
    this.#show(null);
  }

  // The log was drawn anew.
  follow() {
    if (this.#mouse === null) return;
    const { x, y } = this.#mouse;
    const under = document.elementFromPoint(x, y);
    if (this.#row !== null && this.#bar.contains(under)) return;
    const article = [y, y + GAP_PX, y - GAP_PX].map((at) => document.elementFromPoint(x, at)?.closest("#log > article"))
      .find(Boolean);
    this.#show(article ?? null);
  }

  /** @param {PointerEvent} event */
  #onMove({ pointerType, clientX: x, clientY: y }) {
    if (pointerType !== "mouse") return this.hide();
    this.#mouse = { x, y };
    return this.#plan();
  }

  #plan() {
    if (this.#planned || this.#mouse === null) return;
    this.#planned = true;
    requestAnimationFrame(() => {
      this.#planned = false;
      this.follow();
    });
  }

  /** @param {Element | null} article */
  #show(article) {
    const under = article && this.#view.rowOf(article);
    const row = under?.kind === "message" ? under : null;
    this.#bar.hidden = row === null;
    if (article && row) {
      if (row !== this.#row) this.#fill(row);
      this.#place(article, row.message.own);
    }
    this.#row = row;
  }

  /** @param {MessageRow} row */
  #fill(row) {
    const may = this.#may(row);
    for (const choice of this.#bar.querySelectorAll("button")) choice.hidden = !may.react && !may.reply;
    const time = /** @type {HTMLTimeElement} */ (this.#bar.querySelector("time"));
    time.textContent = timeOf(row.message.ts);
    time.title = fullTimeOf(row.message.ts);
  }

  /**
   * Beside the bubble; over its upper edge where it is too wide for that.
   * @param {Element} article
   * @param {boolean} own
   */
  #place(article, own) {
    const bubble = (article.querySelector(".bubble") ?? article).getBoundingClientRect();
    const frame = this.#frame.getBoundingClientRect();
    const { width, height } = this.#bar.getBoundingClientRect();
    const beside = own ? bubble.left - width - GAP_PX : bubble.right + GAP_PX;
    const left = Math.max(frame.left, Math.min(beside, frame.right - width - MARGIN_PX));
    const over = left < bubble.right && left + width > bubble.left;
    const above = over ? -height * 0.7 : Math.min(0, (bubble.height - height) / 2);
    this.#bar.style.left = `${left - frame.left}px`;
    this.#bar.style.top = `${Math.max(0, bubble.top - frame.top + above)}px`;
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const chosen = closest(event, "[data-act]");
    if (!chosen || !this.#row) return;
    const { left, bottom } = chosen.getBoundingClientRect();
    this.#onChoice(chosen.dataset.act ?? "", this.#row, { x: left, y: bottom + GAP_PX });
  }
}
