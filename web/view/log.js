// The log on the screen. It is given rows (rows.js) and makes the document agree with them.
//
// Invariants
//   1. A row keeps its node. A node is created, patched or moved only where its row demands it, since
//      a screen reader announces what is inserted, and focus and selection live in nodes.
//   2. The reader's place is theirs: at the end the log follows; anywhere else the message that is first
//      in view stays where it is, whatever is added or taken away above it: to half a pixel, and without
//      drifting, since it is held where the reader left it. The browser's own scroll anchoring is off
//      (app.css): Safari has none, and two of them would fight.
//   3. What arrives in bulk (history) is not announced.
//   4. What is out of view costs nothing, and its size is no guess (settle.js).
//
// Clicks on anything with data-act go to onAction(act, row, element).

import { buildArticle, patchArticle } from "./article.js";
import { closest } from "./dom.js";
import { highlight } from "./highlight.js";
import { buildLine } from "./lines.js";
import { Settler } from "./settle.js";

/** @import { Row } from "../model/rows.js" */
/** @import { Match } from "../model/search.js" */
/** @typedef {{node: HTMLElement, row: Row}} Drawn */
/** @typedef {{node: HTMLElement, top: number}[]} Anchor where in view each of some rows is */

const END_SLACK_PX = 40;
const TOP_SLACK_PX = 600; // older messages are fetched before the reader hits the top
const HUSH_MS = 800;
const FLASH_MS = 2000;

const number = new Intl.NumberFormat();

/** @type {(a: Record<string, unknown>, b: Record<string, unknown>) => boolean} of two rows */
function sameRow(a, b) {
  for (const key in b) if (a[key] !== b[key]) return false;
  return true;
}

export class LogView {
  #log;
  #empty;
  #jump;
  #handlers;
  #settler;
  /** @type {Map<string, Drawn>} */
  #shown = new Map(); // by key
  /** @type {WeakMap<Element, Row>} */
  #rowOf = new WeakMap();
  #atEnd = true;
  #top = 0;
  #height = 0;
  #width = 0;
  /** @type {Anchor} */
  #held = []; // see #anchor(): where the reader is, unless at the end
  #hushTimer = 0;

  /**
   * @param {object} options
   * @param {HTMLElement} options.log
   * @param {HTMLElement} options.empty the words for a log without rows, first in it
   * @param {HTMLElement} options.jump the button back to the end
   * @param {object} options.handlers
   * @param {(act: string, row: Row | null, element: HTMLElement) => void} options.handlers.onAction
   * @param {() => void} options.handlers.onNearTop
   * @param {() => void} options.handlers.onEnd the reader came to the end
   */
  constructor({ log, empty, jump, handlers }) {
    this.#log = log;
    this.#empty = empty;
    this.#jump = jump;
    this.#handlers = handlers;
    this.#settler = new Settler(log);
    log.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    log.addEventListener("click", (event) => this.#onClick(event));
    log.addEventListener("keydown", (event) => this.#onKey(event));
    jump.addEventListener("click", () => this.scrollToEnd());
    // The keyboard of a phone, a growing composer, a turned phone: what was in view stays in view.
    new ResizeObserver(() => {
      if (log.clientWidth !== this.#width) this.#settler.unsettleAll();
      this.#height = log.clientHeight;
      this.#width = log.clientWidth;
      if (this.#atEnd) this.#toEnd();
      else this.#restore(this.#heldWhole());
    }).observe(log);
  }

  get atEnd() {
    return this.#atEnd;
  }

  // Whether the reader is, or is about to be, at the top.
  get nearTop() {
    return this.#log.scrollTop < TOP_SLACK_PX;
  }

  /** @param {Element} node */
  rowOf(node) {
    return this.#rowOf.get(node) ?? null;
  }

  /** @param {string} id @returns {HTMLElement | null} */
  articleOf(id) {
    return this.#log.querySelector(`article[data-id="${CSS.escape(id)}"]`);
  }

  /**
   * @param {Row[]} rows
   * @param {{hush: boolean, unread: number, empty: boolean}} how hush: this is bulk, not news; unread: for the
   *   button; empty: without rows, words say so
   */
  render(rows, { hush, unread, empty }) {
    if (hush) this.#hush();
    const held = this.#held.some(({ node }) => node.isConnected) ? this.#held : this.#anchor();
    const anchor = this.#atEnd ? null : held;
    this.#reconcile(rows);
    this.#settler.settleSoon();
    this.#empty.hidden = rows.length > 0 || !empty;
    if (anchor) this.#restore(anchor);
    else this.#toEnd();
    this.#held = anchor ?? [];
    this.#showJump(unread);
  }

  scrollToEnd() {
    this.#setAtEnd(true);
    this.#toEnd();
  }

  /**
   * Brings a message into view and shows which one it is.
   * @param {string} id
   */
  reveal(id) {
    const article = this.articleOf(id);
    if (!article) return;
    this.#setAtEnd(false);
    article.scrollIntoView({ block: "center" });
    this.#top = this.#log.scrollTop;
    this.#held = this.#anchor();
    article.focus({ preventScroll: true });
    article.classList.add("flash");
    setTimeout(() => article.classList.remove("flash"), FLASH_MS);
  }

  /** @param {Match | null} match what to mark in the text of all messages */
  highlight(match) {
    highlight(this.#log, match);
  }

  /** @param {Row[]} rows */
  #reconcile(rows) {
    const before = this.#shown;
    this.#shown = new Map();
    for (const row of rows) {
      this.#shown.set(row.key, this.#shownFor(row, before.get(row.key)));
      before.delete(row.key);
    }
    for (const { node } of before.values()) node.remove();
    let next = this.#empty.nextElementSibling;
    for (const { node } of this.#shown.values()) {
      if (node === next) next = next.nextElementSibling;
      else this.#log.insertBefore(node, next);
    }
  }

  /** @param {Row} row @param {Drawn | undefined} old @returns {Drawn} */
  #shownFor(row, old) {
    if (old && sameRow(old.row, row)) return old;
    let node = old?.node;
    if (node && row.kind === "message" && old?.row.kind === "message") {
      patchArticle(node, row, old.row);
    } else {
      const made = row.kind === "message" ? buildArticle(row) : buildLine(row);
      const focused = node?.contains(document.activeElement);
      node?.replaceWith(made);
      node = made;
      if (focused) this.#log.focus({ preventScroll: true });
    }
    this.#rowOf.set(node, row);
    if (row.kind === "message") this.#settler.unsettle(node);
    return { node, row };
  }

  #hush() {
    this.#log.setAttribute("aria-live", "off");
    clearTimeout(this.#hushTimer);
    this.#hushTimer = setTimeout(() => this.#log.setAttribute("aria-live", "polite"), HUSH_MS);
  }

  /**
   * The first rows in view and where in it they are. Several, since the first may be taken away.
   * @returns {Anchor}
   */
  #anchor() {
    const { scrollTop } = this.#log;
    const children = /** @type {HTMLCollectionOf<HTMLElement>} */ (this.#log.children);
    let low = 0;
    for (let high = children.length; low < high;) {
      const middle = (low + high) >> 1;
      const node = children[middle];
      if (node.hidden || node.offsetTop + node.offsetHeight <= scrollTop) low = middle + 1;
      else high = middle;
    }
    return Array.from({ length: Math.min(8, children.length - low) }, (_, i) => children[low + i])
      .filter((node) => node.tagName === "ARTICLE")
      .map((node) => ({ node, top: this.#topOf(node) }));
  }

  /**
   * Unlike offsetTop it is not rounded.
   * @param {HTMLElement} node
   */
  #topOf(node) {
    return node.getBoundingClientRect().top - this.#log.getBoundingClientRect().top;
  }

  /** @param {Anchor} anchor */
  #restore(anchor) {
    const kept = anchor.find(({ node }) => node.isConnected);
    const moved = kept ? this.#topOf(kept.node) - kept.top : 0;
    if (Math.abs(moved) > 0.5) this.#log.scrollTop += moved;
    this.#top = this.#log.scrollTop;
  }

  // Of these the rows that begin in view: what only ends there may grow, as lines break anew.
  #heldWhole() {
    const whole = this.#held.filter(({ top }) => top >= 0 && top < this.#log.clientHeight);
    return whole.length > 0 ? whole : this.#held;
  }

  #toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#top = this.#log.scrollTop;
  }

  // Only a move upwards leaves the end. Growth alone does not, however far the end has run ahead of
  // us, nor a log that just took another size (#height and #width are as of the observer, which follows).
  #onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    if (scrollHeight - scrollTop - clientHeight <= END_SLACK_PX) this.#setAtEnd(true);
    else if (scrollTop < this.#top && clientHeight === this.#height) this.#setAtEnd(false);
    const byReader = scrollTop !== this.#top;
    this.#top = scrollTop;
    if (byReader && !this.#atEnd && this.#log.clientWidth === this.#width) this.#held = this.#anchor();
    if (this.nearTop) this.#handlers.onNearTop();
  }

  /** @param {boolean} yes */
  #setAtEnd(yes) {
    if (yes === this.#atEnd) return;
    this.#atEnd = yes;
    this.#showJump(0);
    if (yes) this.#handlers.onEnd();
  }

  /** @param {number} unread */
  #showJump(unread) {
    this.#jump.hidden = this.#atEnd;
    const words = unread === 1 ? "1 new message" : `${number.format(unread)} new messages`;
    this.#jump.textContent = unread > 0 ? words : "Back to the newest";
    this.#jump.classList.toggle("fresh", unread > 0);
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const acting = closest(event, "[data-act]");
    if (!acting) return;
    if (acting.dataset.act === "unfold") {
      acting.parentElement?.querySelector(".folded")?.classList.remove("folded");
      acting.closest("article")?.focus({ preventScroll: true });
      acting.remove();
      return;
    }
    const node = acting.closest("#log > *");
    this.#handlers.onAction(acting.dataset.act ?? "", node && this.rowOf(node), acting);
  }

  /**
   * Up and Down walk the messages; Enter, and the key for menus, open what can be done with one.
   * @param {KeyboardEvent} event
   */
  #onKey(event) {
    const { target, key } = event;
    const article = closest(event, "article");
    if (key === "ArrowUp" || key === "ArrowDown") {
      const to = article ? this.#beside(article, key) : this.#lastInView();
      if (to) {
        event.preventDefault();
        to.focus({ preventScroll: true });
        to.scrollIntoView({ block: "nearest" });
      }
    } else if (target === article && article && (key === "Enter" || key === "ContextMenu")) {
      event.preventDefault();
      this.#handlers.onAction("menu", this.rowOf(article), article);
    }
  }

  /** @param {HTMLElement} article @param {string} key @returns {HTMLElement | undefined} */
  #beside(article, key) {
    const articles = [...this.#log.querySelectorAll("article")];
    return articles[articles.indexOf(article) + (key === "ArrowUp" ? -1 : 1)];
  }

  #lastInView() {
    const { scrollTop, clientHeight } = this.#log;
    const articles = [...this.#log.querySelectorAll("article")];
    const end = scrollTop + clientHeight;
    return articles.findLast((node) => node.offsetTop + Math.min(node.offsetHeight, 40) <= end);
  }
}
