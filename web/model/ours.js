// What of a room is ours, as far as this browser knows: messages it said, names that a person claimed,
// reactions it gave. The tabs of a browser share this, but not their names: in another tab somebody else
// may sit.

import { onMemoryChange, RememberedSet } from "./memory.js";

/** @import { Reaction } from "../client/types.js" */

const OWN_MAX = 1000;
const REACTED_MAX = 500;
const CLAIMED_MAX = 50;

/** @param {{id: string, emoji: string, name: string}} reaction */
const keyOf = ({ id, emoji, name }) => `${id} ${emoji} ${name}`;

export class Ours {
  #own = new RememberedSet("own", OWN_MAX); // ids of what was said by this browser
  #reacted = new RememberedSet("reacted", REACTED_MAX); // see keyOf()
  #claimed = new RememberedSet("claimed", CLAIMED_MAX); // names of which a person said "that is me, wherever"

  /** @param {() => void} onChange another tab has said or claimed something */
  constructor(onChange) {
    for (const key of ["own", "claimed"]) {
      onMemoryChange(key, () => {
        this.#own.reload();
        this.#claimed.reload();
        onChange();
      });
    }
  }

  /** @param {string} id */
  addMessage(id) {
    this.#own.add(id);
  }

  /**
   * Whoever speaks under this name is the person at this browser, with another device.
   * @param {string} name
   */
  claim(name) {
    this.#claimed.add(name);
  }

  /** @param {string} name */
  hasClaimed(name) {
    return this.#claimed.has(name);
  }

  /**
   * @param {{id: string, username: string, user: string | null}} message
   * @param {{name: string, user: string | null}} me as this tab is known
   */
  isOwn({ id, username, user }, me) {
    if (user !== null && user === me.user) return true;
    return username === me.name && (this.#own.has(id) || this.#claimed.has(username));
  }

  /**
   * @param {{id: string, emoji: string, name: string}} reaction
   * @param {boolean} on given, not taken back
   */
  setReaction(reaction, on) {
    if (on) this.#reacted.add(keyOf(reaction));
    else this.#reacted.delete(keyOf(reaction));
  }

  /**
   * The emoji we reacted with, one a line. What the server says by name holds; where it gave only a number,
   * memory.
   * @param {{id: string | null, reactions: Reaction[]}} message
   * @param {string} name of this tab
   */
  reactionsOf({ id, reactions }, name) {
    /** @param {string} emoji */
    const remembered = (emoji) => id !== null && this.#reacted.has(keyOf({ id, emoji, name }));
    return reactions.filter(({ emoji, names }) => names.includes(name) || remembered(emoji))
      .map(({ emoji }) => emoji).join("\n");
  }
}
