// The panel beside the conversation: who is here, or the search. On a narrow screen it is a drawer over
// the conversation, which is inert meanwhile; Esc and a tap beside it close it.

import { memory } from "../model/memory.js";
import { matcher, OlderSearch, snippet } from "../model/search.js";
import { button, closest, element, marked, narrow, setText } from "./dom.js";
import { dayLabel, fullTimeOf, initialOf, setTone, timeOf } from "./text.js";

/** @import { Message, Page } from "../client/types.js" */
/** @import { Shown } from "../model/messages.js" */
/** @import { People } from "../model/people.js" */
/** @import { Match } from "../model/search.js" */
/** @import { Ui } from "./dom.js" */
/** @typedef {"people" | "search" | null} Mode */

const TYPE_PAUSE_MS = 150;
const LOADED_MATCHES_MAX = 200;
const number = new Intl.NumberFormat();

/** @param {string} name */
const avatar = (name) => {
  const face = element("span", "face-small", initialOf(name));
  setTone(face, name);
  face.setAttribute("aria-hidden", "true");
  return face;
};

export class Side {
  #ui;
  #handlers;
  /** @type {Mode} */
  #mode = null;
  /** @type {Match | null} */
  #match = null;
  /** @type {OlderSearch | null} */
  #older = null;
  /** @type {(Match | string | null)[]} */
  #shown = []; // the match and the texts it found, as they stand in the list
  #timer = 0;

  /**
   * @param {Ui} ui
   * @param {object} handlers
   * @param {() => Shown[]} handlers.messages what is loaded
   * @param {() => boolean} handlers.complete that is everything
   * @param {() => string | undefined} handlers.solidFrom id from which on nothing is missing
   * @param {(query: {before: string | undefined, limit: number}) => Promise<Page>} handlers.fetchOlder
   * @param {(id: string) => void} handlers.onJump
   * @param {(match: Match | null) => void} handlers.onMatch what to mark in the log
   * @param {() => void} handlers.onShow something else is shown
   */
  constructor(ui, handlers) {
    this.#ui = ui;
    this.#handlers = handlers;
    ui.peopleToggle.addEventListener("click", () => this.#toggle("people"));
    ui.searchToggle.addEventListener("click", () => this.#toggle("search"));
    ui.sideClose.addEventListener("click", () => this.#dismiss());
    ui.scrim.addEventListener("click", () => this.#dismiss());
    ui.side.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#dismiss();
    });
    ui.searchForm.addEventListener("submit", (event) => event.preventDefault());
    ui.query.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#search(), TYPE_PAUSE_MS);
    });
    ui.searchOlder.addEventListener("click", () => (this.#older?.running ? this.#older.stop() : this.#goBack()));
    ui.results.addEventListener("click", (event) => {
      const id = closest(event, "[data-id]")?.dataset.id;
      if (id) this.#jump(id);
    });
    narrow.addEventListener("change", () => this.#show());
  }

  get shows() {
    return this.#mode;
  }

  // For a room just entered: nothing of the last one; people beside the conversation if there is room.
  reset() {
    this.#older?.stop();
    this.#older = null;
    this.#match = null;
    this.#ui.query.value = "";
    this.#ui.results.replaceChildren();
    this.#shown = [];
    this.#mode = !narrow.matches && memory.get("people") !== "hidden" ? "people" : null;
    this.#show();
    this.#showSearchState();
  }

  /** @param {People} people @param {string} name ours */
  showPeople(people, name) {
    const { count } = people;
    this.#ui.peopleCount.textContent = count > 0 ? number.format(count) : "";
    this.#ui.peopleToggle.setAttribute("aria-label", `People: ${number.format(count)} here`);
    if (this.#mode !== "people") return;
    const list = people.list();
    this.#ui.peopleList.replaceChildren(...list.map(({ name: who, connections }) => {
      const notes = [who === name ? "you" : "", connections > 1 ? `${connections} times` : ""];
      const note = element("span", "you", notes.filter(Boolean).join(", "));
      return element("li", "", avatar(who), element("bdi", "who", who), note);
    }));
    const others = count - list.reduce((sum, { connections }) => sum + connections, 0);
    const more = list.length > 0 ? `and ${number.format(others)} more` : `${number.format(others)} people`;
    setText(this.#ui.peopleMore, others > 0 ? more : "");
  }

  // The messages of the log have changed.
  refresh() {
    if (this.#mode === "search" && this.#match) this.#showResults();
  }

  /** @param {Mode} mode */
  open(mode) {
    this.#mode = mode;
    this.#show();
    if (mode === "search") this.#ui.query.focus();
    else if (narrow.matches) this.#ui.sideClose.focus();
  }

  /** @param {Mode} mode */
  #toggle(mode) {
    if (this.#mode === mode) return this.#dismiss();
    this.open(mode);
    if (mode === "people" && !narrow.matches) memory.set("people", "");
  }

  #dismiss() {
    const was = this.#mode;
    this.#mode = null;
    if (was === "people" && !narrow.matches) memory.set("people", "hidden");
    this.#show();
    (was === "search" ? this.#ui.searchToggle : this.#ui.peopleToggle).focus();
  }

  #show() {
    const ui = this.#ui;
    const open = this.#mode !== null;
    ui.side.hidden = !open;
    ui.scrim.hidden = !open;
    ui.talk.inert = open && narrow.matches;
    ui.people.hidden = this.#mode !== "people";
    ui.search.hidden = this.#mode !== "search";
    ui.sideTitle.textContent = this.#mode === "search" ? "Search" : "People here";
    ui.peopleToggle.setAttribute("aria-expanded", `${this.#mode === "people"}`);
    ui.searchToggle.setAttribute("aria-expanded", `${this.#mode === "search"}`);
    this.#handlers.onMatch(this.#mode === "search" ? this.#match : null);
    this.#handlers.onShow();
  }

  // -- Search

  #search() {
    this.#older?.stop();
    this.#older = null;
    this.#match = matcher(this.#ui.query.value);
    this.#handlers.onMatch(this.#match);
    this.#showResults();
  }

  #goBack() {
    if (!this.#match) return;
    this.#older ??= new OlderSearch({
      match: this.#match, before: this.#handlers.solidFrom(), fetch: this.#handlers.fetchOlder,
      onChange: () => this.#showResults(),
    });
    this.#older.run();
  }

  #showResults() {
    const match = this.#match;
    const loaded = match ? this.#handlers.messages().filter((m) => !m.deleted && match.test(m.text)) : [];
    const newest = loaded.slice(-LOADED_MATCHES_MAX).reverse();
    const known = new Set(newest.map((m) => m.id));
    /** @type {(Message | Shown)[]} */
    const all = [...newest, ...(this.#older?.matches ?? []).filter((m) => !known.has(m.id))];
    all.sort((a, b) => b.seq - a.seq);
    this.#showSearchState(all.length);
    // The room is redrawn with every message; what is found seldom changes, and may have the focus.
    const facts = [match, ...all.map((m) => m.text)];
    if (facts.length === this.#shown.length && facts.every((fact, i) => fact === this.#shown[i])) return;
    this.#shown = facts;
    this.#ui.results.replaceChildren(...(match ? all.map((message) => this.#result(message, match)) : []));
  }

  /** @param {Message | Shown} message @param {Match} match */
  #result({ id, username, ts, text }, match) {
    const { text: shown, ranges } = snippet(text, match);
    const body = element("span", "hit", marked(shown, ranges));
    body.dir = "auto";
    const when = element("time", "", `${dayLabel(ts)}, ${timeOf(ts)}`);
    when.title = fullTimeOf(ts);
    const hit = button("jump", "result", element("span", "result-head", element("bdi", "who", username), when), body);
    hit.dataset.id = id;
    return element("li", "", hit);
  }

  #showSearchState(found = 0) {
    const { searchState, searchOlder } = this.#ui;
    const older = this.#older;
    const over = older !== null && (older.ended || older.full);
    searchOlder.hidden = !this.#match || this.#handlers.complete() || over;
    searchOlder.textContent = older?.running ? "Stop" : "Search older messages";
    setText(searchState, this.#match ? this.#searchText(found, older) : "");
  }

  /** @param {number} found @param {OlderSearch | null} older */
  #searchText(found, older) {
    const hits = found === 1 ? "1 match" : found === 0 ? "No match" : `${number.format(found)} matches`;
    if (this.#handlers.complete()) return `${hits} in everything that is kept.`;
    if (!older) return `${hits} in what is loaded.`;
    const back = older.reachedMs > 0 ? ` back to ${dayLabel(older.reachedMs)}, ${timeOf(older.reachedMs)}` : "";
    if (older.running) return `${hits}. Searching${back}…`;
    if (older.failed) return `${hits}. The search stopped: ${older.failed}`;
    if (older.ended) return `${hits} in everything that is kept.`;
    if (older.full) return `${hits}, and more than can be shown. Try more words.`;
    return `${hits}${back}.`;
  }

  /** @param {string} id */
  #jump(id) {
    if (narrow.matches) {
      this.#mode = null;
      this.#show();
    }
    this.#handlers.onJump(id);
  }
}
