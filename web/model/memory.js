// What is remembered between visits: by this browser, in localStorage, and by this tab alone, in
// sessionStorage. Storage may be forbidden or full; then the page forgets, and works. What is read back may
// have been written by anything, so it is checked.
//
// Two tabs of one browser may be two people. So a tab is who it says, under the name it entered with, and
// whatever belongs to a person is remembered together with the name.

const PREFIX = "parlor.";

/** @typedef {{get(key: string): string, set(key: string, value: string): void}} Memory */

/**
 * @param {() => Storage} storage asked for each time, since even naming it throws where it is forbidden
 * @returns {Memory}
 */
const memoryIn = (storage) => ({
  get(key) {
    try {
      return storage().getItem(PREFIX + key) ?? "";
    } catch {
      return "";
    }
  },
  set(key, value) {
    try {
      storage().setItem(PREFIX + key, value);
    } catch { /* forgotten on reload */ }
  },
});

export const memory = memoryIn(() => localStorage);
export const tabMemory = memoryIn(() => sessionStorage);

/**
 * @param {string} key
 * @param {() => void} handler another tab of this browser has changed it
 */
export function onMemoryChange(key, handler) {
  addEventListener("storage", (event) => {
    if (event.key === PREFIX + key) handler();
  });
}

/** @param {string} key */
function read(key, from = memory) {
  try {
    return JSON.parse(from.get(key));
  } catch {
    return null;
  }
}

// The newest `max` of a set of strings, shared by the tabs of this browser.
export class RememberedSet {
  #key;
  #max;
  /** @type {Set<string>} */
  #items = new Set();

  /** @param {string} key @param {number} max */
  constructor(key, max) {
    this.#key = key;
    this.#max = max;
    this.reload();
  }

  /** @param {string} item */
  has(item) {
    return this.#items.has(item);
  }

  /** @param {string} item */
  add(item) {
    this.#change(() => this.#items.add(item));
  }

  /** @param {string} item */
  delete(item) {
    this.#change(() => this.#items.delete(item));
  }

  reload() {
    const items = read(this.#key);
    this.#items = new Set(Array.isArray(items) ? items.filter((item) => typeof item === "string") : []);
  }

  /**
   * Another tab may have written since.
   * @param {() => void} step
   */
  #change(step) {
    this.reload();
    step();
    this.#items = new Set([...this.#items].slice(-this.#max));
    memory.set(this.#key, JSON.stringify([...this.#items]));
  }
}

const ROOMS_MAX = 50;

/** @param {string} key @param {Memory} [from] @returns {any[][]} */
const readList = (key, from) => {
  const list = read(key, from);
  return Array.isArray(list) ? list.filter(Array.isArray) : [];
};

/** @typedef {{epoch: string, seq: number}} Mark up to where somebody has read */
/** @typedef {{room: string, name: string}} Place */

// Up to where each person has read each room.
export const readMarks = {
  /** @param {Place} place @returns {Mark | null} */
  get({ room, name }) {
    const mark = readList("read").find((m) => m[0] === room && m[1] === name);
    return mark && Number.isSafeInteger(mark[3]) ? { epoch: mark[2], seq: mark[3] } : null;
  },
  /** @param {Place} place @param {Mark} mark */
  set({ room, name }, { epoch, seq }) {
    const others = readList("read").filter((m) => m[0] !== room || m[1] !== name);
    memory.set("read", JSON.stringify([...others, [room, name, epoch, seq]].slice(-ROOMS_MAX)));
  },
};

const GUESTS_MAX = 100;

// The guest's key of each name, as this server gave it. Another server may be at another path of this origin.
export const guestKeys = {
  /** @param {{base: string, name: string}} place @returns {unknown} a string, or nothing */
  get({ base, name }) {
    return readList("guests").find((g) => g[0] === base && g[1] === name)?.[2];
  },
  /** @param {{base: string, name: string}} place @param {string} key "" forgets it */
  set({ base, name }, key) {
    const others = readList("guests").filter((g) => g[0] !== base || g[1] !== name);
    const all = key === "" ? others : [...others, [base, name, key]];
    memory.set("guests", JSON.stringify(all.slice(-GUESTS_MAX)));
  },
};

// Room -> what was being written there, or was not confirmed, when this tab left it.
export const drafts = {
  /** @param {string} room @returns {string} */
  get(room) {
    const draft = readList("drafts", tabMemory).find((d) => d[0] === room);
    return typeof draft?.[1] === "string" ? draft[1] : "";
  },
  /** @param {string} room @param {string} text */
  set(room, text) {
    const others = readList("drafts", tabMemory).filter((d) => d[0] !== room);
    const all = text === "" ? others : [...others, [room, text]];
    tabMemory.set("drafts", JSON.stringify(all.slice(-ROOMS_MAX)));
  },
};
