// A message out of view costs nothing in a frame (content-visibility). It is laid out for real first, when it
// is new, changed or of another width; only then is it `settled` and its size remembered. So no size is ever a
// guess that is corrected under the reader.

const SETTLE_MS = 1000; // changing what is skipped costs a layout: done for many at once

export class Settler {
  #log;
  /** @type {Set<Element>} */
  #unsettled = new Set(); // articles
  /** @type {Set<Element>} */
  #settling = new Set(); // of these the ones that nothing has changed in since settleSoon() looked
  #timer = 0;

  /** @param {HTMLElement} log */
  constructor(log) {
    this.#log = log;
  }

  /** @param {Element} article */
  unsettle(article) {
    article.classList.remove("settled");
    this.#settling.delete(article);
    this.#unsettled.add(article);
  }

  unsettleAll() {
    for (const article of this.#log.querySelectorAll(".settled")) this.unsettle(article);
    this.settleSoon();
  }

  // The browser notes the size of what it shows once it has laid it out: in the next frame it is known.
  // In a hidden tab there are no frames, and nothing settles.
  settleSoon() {
    if (this.#timer !== 0 || this.#unsettled.size === 0) return;
    this.#timer = setTimeout(() => requestAnimationFrame(() => {
      this.#settling = this.#unsettled;
      this.#unsettled = new Set();
      requestAnimationFrame(() => {
        this.#timer = 0;
        for (const article of this.#settling) article.classList.add("settled");
        this.#settling.clear();
        this.settleSoon();
      });
    }), SETTLE_MS);
  }
}
