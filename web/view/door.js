// The door: which room, under which name. Where somebody in the room has the name, the person is asked:
// another name, or "that's me", for one who is here with a second device.

import { freeNameFor } from "../model/lookup.js";
import { memory, tabMemory } from "../model/memory.js";
import * as rules from "../model/rules.js";
import { here } from "./location.js";

/** @import { Ui } from "./dom.js" */
/** @typedef {{room: string, name: string}} Wanted */

/** @param {HTMLElement} input @param {HTMLElement} output @param {string} problem */
function showProblem(input, output, problem) {
  output.textContent = problem;
  input.setAttribute("aria-invalid", `${problem !== ""}`);
  return problem !== "";
}

export class Door {
  #ui;
  #handlers;
  #attempt = 0; // counts up whenever what was asked before does not matter any more
  /** @type {Wanted} */
  #wanted = { room: "", name: "" }; // what the person is asked about

  /**
   * @param {Ui} ui
   * @param {object} handlers
   * @param {(wanted: Wanted & {claim: boolean}) => void} handlers.onEnter both are fit to be used; claim: the
   *   person says that everybody of this name is they
   * @param {(name: string) => boolean} handlers.isMine they said so before
   */
  constructor(ui, handlers) {
    this.#ui = ui;
    this.#handlers = handlers;
    ui.enter.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    ui.room.addEventListener("input", () => this.#onInput());
    ui.name.addEventListener("input", () => this.#onInput());
    ui.takenOther.addEventListener("click", () => {
      ui.name.value = ui.takenOther.dataset.name ?? "";
      this.#submit();
    });
    ui.takenMe.addEventListener("click", () => this.#handlers.onEnter({ ...this.#wanted, claim: true }));
  }

  /** @param {{room: string, problem?: string}} what */
  show({ room, problem = "" }) {
    const ui = this.#ui;
    ui.enterScreen.hidden = false;
    ui.room.value = room;
    ui.name.value = tabMemory.get("name") || memory.get("name");
    this.#onInput();
    showProblem(ui.room, ui.roomError, problem);
    const first = room === "" || problem ? ui.room : ui.name;
    first.focus();
    first.select();
  }

  hide() {
    this.#attempt += 1;
    this.#ui.enterScreen.hidden = true;
  }

  #onInput() {
    const ui = this.#ui;
    this.#attempt += 1;
    showProblem(ui.room, ui.roomError, "");
    showProblem(ui.name, ui.nameError, "");
    ui.taken.hidden = true;
  }

  async #submit() {
    const ui = this.#ui;
    const room = rules.roomFromInput(ui.room.value);
    const name = rules.wellFormed(ui.name.value.trim());
    this.#onInput();
    const badName = showProblem(ui.name, ui.nameError, rules.nameProblem(name));
    const badRoom = showProblem(ui.room, ui.roomError, rules.roomProblem(room));
    if (badRoom || badName) return (badRoom ? ui.room : ui.name).focus();
    const attempt = this.#attempt;
    const other = this.#handlers.isMine(name) ? "" : await freeNameFor(here(), room, name);
    if (attempt !== this.#attempt) return undefined; // they typed on, or went elsewhere
    if (other !== "") return this.#ask({ room, name }, other);
    return this.#handlers.onEnter({ room, name, claim: false });
  }

  /** @param {Wanted} wanted @param {string} other a name that is free */
  #ask(wanted, other) {
    const ui = this.#ui;
    this.#wanted = wanted;
    showProblem(ui.name, ui.nameError, `“${wanted.name}” is in this room already.`);
    ui.takenOther.textContent = `Enter as “${other}”`;
    ui.takenOther.dataset.name = other;
    ui.taken.hidden = false;
    ui.takenOther.focus();
  }
}
