// What this browser remembers between visits, in localStorage. Storage may be forbidden or full; then the
// page forgets, and works. What is read back may have been written by anything, so it is checked.

const PREFIX = 'parlor.';

export const memory = {
  get(key) {
    try {
      return localStorage.getItem(PREFIX + key) ?? '';
    } catch {
      return '';
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(PREFIX + key, value);
    } catch { /* forgotten on reload */ }
  },
  onChange(key, handler) {
    addEventListener('storage', (event) => event.key === PREFIX + key && handler());
  },
};

function read(key) {
  try {
    return JSON.parse(memory.get(key));
  } catch {
    return null;
  }
}

// The newest `max` of a set of strings, shared by the tabs of this browser.
export class RememberedSet {
  #key;
  #max;
  #items;

  constructor(key, max) {
    this.#key = key;
    this.#max = max;
    this.reload();
  }

  has(item) {
    return this.#items.has(item);
  }

  add(item) {
    this.#change(() => this.#items.add(item));
  }

  delete(item) {
    this.#change(() => this.#items.delete(item));
  }

  reload() {
    const items = read(this.#key);
    this.#items = new Set(Array.isArray(items) ? items.filter((item) => typeof item === 'string') : []);
  }

  // Another tab may have written since.
  #change(step) {
    this.reload();
    step();
    this.#items = new Set([...this.#items].slice(-this.#max));
    memory.set(this.#key, JSON.stringify([...this.#items]));
  }
}

const ROOMS_MAX = 50;

// Up to where each room has been read: {epoch, seq}.
export const readMarks = {
  get(room) {
    const marks = read('read');
    const mark = Array.isArray(marks) ? marks.find((m) => Array.isArray(m) && m[0] === room) : null;
    return mark && Number.isSafeInteger(mark[2]) ? { epoch: mark[1], seq: mark[2] } : null;
  },
  set(room, { epoch, seq }) {
    const marks = read('read');
    const others = Array.isArray(marks) ? marks.filter((m) => Array.isArray(m) && m[0] !== room) : [];
    memory.set('read', JSON.stringify([...others, [room, epoch, seq]].slice(-ROOMS_MAX)));
  },
};
