// What can be done with one message: a menu. It is a modal dialog, so focus stays in it, Esc closes it,
// and focus returns to where it was; on a narrow screen app.css makes it a sheet at the bottom.
//
// Ways in: the bar of hover.js, a right click, a long press, Enter on a focused message.

import { button, element } from './dom.js';
import { fullTimeOf } from './text.js';

const EMOJI = ['👍', '❤️', '😂', '😮', '😢', '🎉'];
const LONG_PRESS_MS = 450;
const PRESS_SLOP_PX = 10;
const MARGIN_PX = 8;

const ITEMS = [
  ['reply', 'Reply'], ['edit', 'Edit'], ['copy', 'Copy text'], ['quote', 'Show what it answers'],
  ['mine', 'That was me'], ['delete', 'Delete'],
];

export class MessageMenu {
  #dialog;
  #time = element('time', 'when');
  #log;
  #view;
  #may;
  #onChoice;
  #onPress;
  #row = null;
  #press = null;
  #armed = false; // a pointer went down since the menu opened: the one that opened it chooses nothing

  // may(row): what is possible, {reply, edit, copy, quote, mine, delete, react}. onChoice(act, row, emoji).
  // onPress(): a long press has opened it.
  constructor({ dialog, log, view, may, onChoice, onPress }) {
    this.#dialog = dialog;
    this.#log = log;
    this.#view = view;
    this.#may = may;
    this.#onChoice = onChoice;
    this.#onPress = onPress;
    this.#fill();
    dialog.addEventListener('pointerdown', (event) => this.#onPointerDown(event));
    dialog.addEventListener('click', (event) => this.#onClick(event));
    dialog.addEventListener('keydown', (event) => this.#onKey(event));
    log.addEventListener('contextmenu', (event) => this.#onContextMenu(event));
    this.#listenToPresses();
  }

  // at: {x, y} in the viewport; on a narrow screen it does not matter.
  open(row, at) {
    const may = this.#may(row);
    if (!Object.values(may).some(Boolean)) return;
    this.#row = row;
    for (const item of this.#dialog.querySelectorAll('[data-act]')) item.hidden = !may[item.dataset.act];
    const mine = row.mine.split('\n');
    for (const emoji of this.#dialog.querySelectorAll('[data-emoji]')) {
      emoji.setAttribute('aria-pressed', mine.includes(emoji.dataset.emoji));
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
    const emoji = EMOJI.map((face) => {
      const choice = button('react', 'face', face);
      choice.dataset.emoji = face;
      choice.setAttribute('aria-label', `React with ${face}`);
      return choice;
    });
    this.#dialog.append(
      element('div', 'faces', ...emoji),
      ...ITEMS.map(([act, label]) => button(act, 'item', label)),
      this.#time,
    );
  }

  #place({ x, y }) {
    const { width, height } = this.#dialog.getBoundingClientRect();
    const left = Math.max(MARGIN_PX, Math.min(x, innerWidth - width - MARGIN_PX));
    const top = Math.max(MARGIN_PX, Math.min(y, innerHeight - height - MARGIN_PX));
    this.#dialog.style.setProperty('--left', `${left}px`);
    this.#dialog.style.setProperty('--top', `${top}px`);
  }

  // Beside the menu is "outside of it": what shows there is the dialog's backdrop.
  #onPointerDown(event) {
    this.#armed = true;
    const { left, right, top, bottom } = this.#dialog.getBoundingClientRect();
    const { clientX: x, clientY: y } = event;
    if (x < left || x > right || y < top || y > bottom) this.#dialog.close();
  }

  #onClick(event) {
    const chosen = event.target.closest('[data-act]');
    const byKeyboard = event.detail === 0;
    if (!chosen || !(this.#armed || byKeyboard)) return;
    this.#dialog.close();
    this.#onChoice(chosen.dataset.act, this.#row, chosen.dataset.emoji);
  }

  // Arrows as well as Tab, as menus have it.
  #onKey(event) {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...this.#dialog.querySelectorAll('button:not([hidden])')];
    items.at((items.indexOf(document.activeElement) + step) % items.length).focus();
  }

  // -- Other ways in

  // The browser's own menu stays where text is selected, and on links.
  #onContextMenu(event) {
    const article = event.target.closest('article');
    if (!article || event.target.closest('a') || !getSelection().isCollapsed) return;
    event.preventDefault();
    this.#press = null;
    if (!this.#dialog.open) this.open(this.#view.rowOf(article), { x: event.clientX, y: event.clientY });
  }

  // -- The finger. iOS sends no contextmenu; where one comes as well, the first wins.

  #listenToPresses() {
    const log = this.#log;
    const end = () => {
      clearTimeout(this.#press?.timer);
      this.#press = null;
    };
    log.addEventListener('pointerdown', (event) => {
      const article = event.target.closest('article');
      if (event.pointerType === 'mouse' || !article || event.target.closest('a, button')) return;
      const { clientX: x, clientY: y } = event;
      const timer = setTimeout(() => {
        this.#press = null;
        if (!this.#dialog.open) this.open(this.#view.rowOf(article), { x, y });
        this.#onPress();
      }, LONG_PRESS_MS);
      this.#press = { x, y, timer };
    });
    log.addEventListener('pointermove', ({ clientX, clientY }) => {
      const press = this.#press;
      if (press && Math.hypot(clientX - press.x, clientY - press.y) > PRESS_SLOP_PX) end();
    });
    for (const type of ['pointerup', 'pointercancel', 'scroll']) log.addEventListener(type, end, { passive: true });
  }
}
