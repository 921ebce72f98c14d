// The door: which room, under which name.

import { memory } from './memory.js';
import * as rules from './rules.js';

function showProblem(input, output, problem) {
  output.textContent = problem;
  input.setAttribute('aria-invalid', problem !== '');
  return problem !== '';
}

export class Door {
  #ui;
  #onEnter;

  // onEnter({room, name}): both are fit to be used.
  constructor(ui, onEnter) {
    this.#ui = ui;
    this.#onEnter = onEnter;
    ui.enter.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    ui.room.addEventListener('input', () => showProblem(ui.room, ui.roomError, ''));
    ui.name.addEventListener('input', () => showProblem(ui.name, ui.nameError, ''));
  }

  show({ room, problem = '' }) {
    const ui = this.#ui;
    ui.enterScreen.hidden = false;
    ui.room.value = room;
    ui.name.value = memory.get('name');
    showProblem(ui.room, ui.roomError, problem);
    showProblem(ui.name, ui.nameError, '');
    (room === '' || problem ? ui.room : ui.name).focus();
  }

  hide() {
    this.#ui.enterScreen.hidden = true;
  }

  #submit() {
    const ui = this.#ui;
    const room = rules.roomFromInput(ui.room.value);
    const name = rules.wellFormed(ui.name.value.trim());
    const badName = showProblem(ui.name, ui.nameError, rules.nameProblem(name));
    const badRoom = showProblem(ui.room, ui.roomError, rules.roomProblem(room));
    if (badRoom || badName) (badRoom ? ui.room : ui.name).focus();
    else this.#onEnter({ room, name });
  }
}
