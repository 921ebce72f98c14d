// What a mouse that rests on a message shows of it: its time, and buttons for what is done most often.
//
// The log moves under a resting mouse while others talk. So the bar belongs to whatever is under the mouse
// now, and is looked up again whenever the log was drawn or scrolled; but while the mouse is on the bar
// itself, the bar stays where it is, for the message it was opened for: nobody's click is to land on
// another one.

import { fullTimeOf, timeOf } from './text.js';

const GAP_PX = 4; // between two messages there is as much that belongs to none
const MARGIN_PX = 16;

export class HoverBar {
  #bar;
  #log;
  #frame;
  #view;
  #may;
  #onChoice;
  #row = null;
  #mouse = null; // {x, y} in the viewport; null: it is elsewhere
  #planned = false;

  // bar, log: elements. view: a LogView. may(row): what is possible, see menu.js. onChoice(act, row, at): at: {x, y}
  // for what opens there.
  constructor({ bar, log, view, may, onChoice }) {
    this.#bar = bar;
    this.#log = log;
    this.#frame = log.parentElement;
    this.#view = view;
    this.#may = may;
    this.#onChoice = onChoice;
    this.#frame.addEventListener('pointermove', (event) => this.#onMove(event));
    this.#frame.addEventListener('pointerleave', () => this.hide());
    log.addEventListener('scroll', () => this.#plan(), { passive: true });
    bar.addEventListener('click', (event) => this.#onClick(event));
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
    const article = [y, y + GAP_PX, y - GAP_PX].map((at) => document.elementFromPoint(x, at)?.closest('#log > article'))
      .find(Boolean);
    this.#show(article ?? null);
  }

  #onMove({ pointerType, clientX: x, clientY: y }) {
    if (pointerType !== 'mouse') return this.hide();
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

  #show(article) {
    const bar = this.#bar;
    const row = article && this.#view.rowOf(article);
    bar.hidden = row === null;
    if (row !== null) {
      if (row !== this.#row) this.#fill(row);
      this.#place(article, row.message.own);
    }
    this.#row = row;
  }

  #fill(row) {
    const may = this.#may(row);
    for (const choice of this.#bar.querySelectorAll('button')) choice.hidden = !may.react && !may.reply;
    const time = this.#bar.querySelector('time');
    time.textContent = timeOf(row.message.ts);
    time.title = fullTimeOf(row.message.ts);
  }

  // Beside the bubble; over its upper edge where it is too wide for that.
  #place(article, own) {
    const bubble = article.querySelector('.bubble').getBoundingClientRect();
    const frame = this.#frame.getBoundingClientRect();
    const { width, height } = this.#bar.getBoundingClientRect();
    const beside = own ? bubble.left - width - GAP_PX : bubble.right + GAP_PX;
    const left = Math.max(frame.left, Math.min(beside, frame.right - width - MARGIN_PX));
    const over = left < bubble.right && left + width > bubble.left;
    const above = over ? -height * 0.7 : Math.min(0, (bubble.height - height) / 2);
    this.#bar.style.left = `${left - frame.left}px`;
    this.#bar.style.top = `${Math.max(0, bubble.top - frame.top + above)}px`;
  }

  #onClick(event) {
    const chosen = event.target.closest('[data-act]');
    if (!chosen || !this.#row) return;
    const { left, bottom } = chosen.getBoundingClientRect();
    this.#onChoice(chosen.dataset.act, this.#row, { x: left, y: bottom + GAP_PX });
  }
}
