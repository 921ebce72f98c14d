// Searching what was said. Pure but for the pages that it asks its caller for.
//
// The page holds no key to the server's own search, so it looks through what it has loaded, and on demand
// through older pages of history, newest first: bounded, with progress, and it can be stopped.

/** @import { Message, Page } from "../client/types.js" */
/** @typedef {{test: (text: string) => boolean, ranges: (text: string) => number[][]}} Match */

const PAGE = 200;
const PAGES_AT_ONCE = 20; // then a person decides whether to go on
const MATCHES_MAX = 200;
const WORDS_MAX = 10;

/**
 * All words have to be in the text, in any case and order; null for a query without words.
 * @param {string} query
 * @returns {Match | null}
 */
export function matcher(query) {
  const words = query.normalize("NFC").trim().split(/\s+/).filter(Boolean).slice(0, WORDS_MAX);
  if (words.length === 0) return null;
  const escaped = words.map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  const each = escaped.map((word) => new RegExp(word, "iu"));
  const any = new RegExp(escaped.join("|"), "giu");
  return {
    test: (text) => each.every((word) => word.test(text)),
    // [from, to) of every occurrence, in order.
    ranges: (text) => Array.from(text.matchAll(any), (hit) => [hit.index, hit.index + hit[0].length]),
  };
}

/**
 * The text around the first hit: {text, ranges}, cut to about `max` characters.
 * @param {string} text
 * @param {Match} match
 */
export function snippet(text, match, max = 160) {
  const flat = text.replace(/\s+/g, " ");
  const first = match.ranges(flat)[0]?.[0] ?? 0;
  const from = flat.length <= max ? 0 : Math.max(0, Math.min(first - 40, flat.length - max));
  // Never between the two halves of a character.
  const head = from > 0 && /[\udc00-\udfff]/.test(flat[from]) ? from + 1 : from;
  const cut = wholeEnd(flat.slice(head, head + max));
  const shown = `${head > 0 ? "…" : ""}${cut}${head + cut.length < flat.length ? "…" : ""}`;
  return { text: shown, ranges: match.ranges(shown) };
}

/** @param {string} text */
const wholeEnd = (text) => (/[\ud800-\udbff]$/.test(text) ? text.slice(0, -1) : text);

// One search over what is older than the page has. State, read by the view:
//   matches: newest first; reachedMs: how far back we looked, 0: not yet; running; ended: there is
//   nothing older; failed: why it stopped, or ''.
export class OlderSearch {
  /** @type {Message[]} */
  matches = [];
  reachedMs = 0;
  looked = 0;
  running = false;
  ended = false;
  failed = "";
  #match;
  #before;
  #fetch;
  #onChange;
  #stopped = false;

  /**
   * @param {object} options
   * @param {Match} options.match
   * @param {string | undefined} options.before id from which to go back, undefined: the newest
   * @param {(query: {before: string | undefined, limit: number}) => Promise<Page>} options.fetch
   * @param {() => void} options.onChange
   */
  constructor({ match, before, fetch, onChange }) {
    this.#match = match;
    this.#before = before;
    this.#fetch = fetch;
    this.#onChange = onChange;
  }

  get full() {
    return this.matches.length >= MATCHES_MAX;
  }

  async run() {
    if (this.running || this.ended || this.full) return;
    this.running = true;
    this.#stopped = false;
    this.failed = "";
    this.#onChange();
    try {
      for (let n = 0; n < PAGES_AT_ONCE && !this.#stopped && !this.ended && !this.full; n++) await this.#step();
    } catch (error) {
      this.failed = /** @type {Error} */ (error).message;
    }
    this.running = false;
    this.#onChange();
  }

  stop() {
    this.#stopped = true;
  }

  async #step() {
    const { messages, more } = await this.#fetch({ before: this.#before, limit: PAGE });
    if (this.#stopped) return;
    const found = messages.filter((message) => this.#match.test(message.text)).reverse();
    this.matches = [...this.matches, ...found].slice(0, MATCHES_MAX);
    this.looked += messages.length;
    this.ended = !more || messages.length === 0;
    if (messages.length > 0) {
      this.#before = messages[0].id;
      this.reachedMs = messages[0].ts;
    }
    this.#onChange();
  }
}
