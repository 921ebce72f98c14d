// The key by which the server knows that a guest is the same again: one for each name in this browser, so two
// names in two tabs are two people, and one name in two tabs is one. Where nothing can be remembered the tab
// has it as long as it lives.

import { isGuestKey } from "../client/frames.js";
import { guestKeys } from "./memory.js";

export class GuestKey {
  #place;
  #key;

  /** @param {{base: string, name: string}} place the server, and the name under which somebody enters */
  constructor(place) {
    this.#place = place;
    this.#key = this.#remembered();
  }

  // "": none yet.
  get text() {
    return this.#key;
  }

  /** @param {string} key that the server has given */
  keep(key) {
    this.#key = key;
    guestKeys.set(this.#place, key);
  }

  // The server does not take it. Returns whether there was one.
  drop() {
    const key = this.#key;
    if (this.#remembered() === key) guestKeys.set(this.#place, "");
    this.#key = "";
    return key !== "";
  }

  #remembered() {
    const key = guestKeys.get(this.#place);
    return isGuestKey(key) ? key : "";
  }
}
