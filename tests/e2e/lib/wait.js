// Waiting, and how long to wait. Every test waits on an event with a generous upper bound; nothing
// here sleeps to synchronise. The bounds and counts follow the kind of build under test: sanitizers
// make the server several times slower, and a busy two-core machine adds its own factor.

/** release | debug | asan | tsan: how the binary under test was built. */
export const MODE = process.env.PARLOR_MODE || "release";

const SLOWNESS = { release: 1, debug: 2, asan: 3, tsan: 4 };
if (!(MODE in SLOWNESS)) throw new Error(`PARLOR_MODE: unknown mode "${MODE}"`);

/** True for builds whose memory and speed say nothing about the product. */
export const SANITIZED = MODE === "asan" || MODE === "tsan";

/** Between the seqs of a room: nothing may depend on it (docs/decisions/0009-journal.md). */
export const SEQ_STEP = MODE === "asan" ? 7 : 1;

/** An upper bound for a wait, given for a release build. */
export const ms = (release) => release * SLOWNESS[MODE];

/** A count: the first for release and debug builds, the second under a sanitizer. */
export const count = (release, sanitized) => (SANITIZED ? sanitized : release);

/** Options for node:test: the bound after which a test has failed. */
export const limit = (seconds) => ({ timeout: ms(seconds * 1000) });

/** Of a step in which this process stood still no more than this counts as waiting. */
const STEP_MS = 250;

/**
 * Calls late() after this time of waiting; returns what calls that off. When a busy machine let us
 * stand still, what we wait for may have come long ago, and only we have not looked yet.
 */
function bound(time, late) {
  let timer;
  const wait = (left) => {
    const step = Math.min(left, STEP_MS);
    timer = setTimeout(() => (left > step ? wait(left - step) : late()), step);
  };
  wait(time);
  return () => clearTimeout(timer);
}

/** The promise, or an error that names what was waited for. */
export function within(time, promise, what) {
  let off;
  const late = new Promise((_, reject) => {
    off = bound(time, () => reject(new Error(`no ${what} within ${time} ms`)));
  });
  return Promise.race([promise, late]).finally(() => off());
}

/** A pause that is itself the subject of a test (a rate limit that refills, a peer that is silent). */
export const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

/** Asks again until the answer is truthy; for states that can only be polled, such as /metrics. */
export async function until(time, ask, what) {
  let late = false;
  const off = bound(time, () => (late = true));
  try {
    for (;;) {
      const last = late;
      const answer = await ask();
      if (answer) return answer;
      if (last) throw new Error(`${what}: not so within ${time} ms`);
      await pause(10);
    }
  } finally {
    off();
  }
}

/** What arrives, in order, for one reader who waits. */
export class Inbox {
  #items = [];
  #waiting = [];
  #over = null;

  get size() {
    return this.#items.length;
  }

  push(item) {
    const reader = this.#waiting.shift();
    if (reader) reader.resolve(item);
    else this.#items.push(item);
  }

  /** Nothing more will come: readers now and later get this error once the items are used up. */
  end(error) {
    this.#over ??= error;
    for (const reader of this.#waiting.splice(0)) reader.reject(this.#over);
  }

  /** The next item. A reader that gave up takes nothing from those after it. */
  next(time, what) {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    if (this.#over) return Promise.reject(this.#over);
    return new Promise((resolve, reject) => {
      const reader = {
        resolve: (item) => (off(), resolve(item)),
        reject: (error) => (off(), reject(error)),
      };
      const off = bound(time, () => {
        this.#waiting.splice(this.#waiting.indexOf(reader), 1);
        reject(new Error(`no ${what} within ${time} ms`));
      });
      this.#waiting.push(reader);
    });
  }

  /** Everything that is there now. */
  drain() {
    return this.#items.splice(0);
  }
}
