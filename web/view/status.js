// How the connection is doing, in words: one line under the room's name, and a banner when there is
// something to know. Where things stand comes from Connection and, once the socket is open, from Room.

import { setText } from "./dom.js";

/** @import { Refused, Waiting } from "../client/connection.js" */
/** @import { State } from "../model/conversation.js" */
/** @import { CaughtUp } from "../model/room.js" */
/** @import { Ui } from "./dom.js" */

const GOOD_NEWS_MS = 7000;
const TOAST_MS = 2500;

/** @type {Record<number, string>} by close code */
const FINAL_REASONS = {
  4001: "This room asks for a sign-in that is missing or not valid.",
  4003: "You are not allowed in this room.",
  4006: "You have been banned from this room.",
  4007: "You were asked to leave this room.",
  4009: "Your access to this room has been withdrawn.",
};
/** @type {Record<number, string>} */
const WAIT_REASONS = {
  1008: "The server refused too many messages in a row.",
  1012: "The server is restarting.",
  1013: "The server is busy.",
  4100: "The server is full.",
  4102: "The room is full.",
  4202: "This connection was too slow for the room.",
};

const number = new Intl.NumberFormat();
/** @param {number} ms */
const seconds = (ms) => Math.max(1, Math.ceil(ms / 1000));

/**
 * @param {State} state
 * @param {boolean} again we were in before
 */
export function statusText(state, again) {
  switch (state.name) {
    case "connecting":
    case "connected": return again ? "Reconnecting…" : "Connecting…";
    case "catching-up": return again ? "Catching up…" : "Connecting…";
    case "live": return "Connected";
    case "refused": return `Refused: ${state.reason || FINAL_REASONS[state.code] || `code ${state.code}`}`;
    case "waiting": {
      const left = seconds(state.untilMs - performance.now());
      return `${state.offline ? "Offline, trying again" : "Reconnecting"} in ${left} s`;
    }
    default: return "";
  }
}

/** @param {Waiting | Refused} state */
function troubleText(state) {
  if (state.name === "refused") {
    const said = state.reason ? ` The server says: ${state.reason}.` : "";
    return `${FINAL_REASONS[state.code] ?? "The server closed the door."}${said}`;
  }
  if (state.offline) return "This device is offline. What you write is sent when it is back.";
  const said = state.reason ? `The connection ended: ${state.reason}.` : "The connection was lost.";
  return `${WAIT_REASONS[state.code] ?? said} Reconnecting… What you write is sent then.`;
}

/**
 * What coming back brought.
 * @param {CaughtUp} done
 */
export function caughtUpText({ recovered, anew, missed, gap }) {
  if (anew) {
    return "Connected again, but the room could not be continued: what was said before is not on the server any more.";
  }
  if (!recovered) {
    return "Connected again, but the room could not be continued from where you were. These are its newest messages.";
  }
  const count = missed === 1 ? "1 missed" : `${number.format(missed)} missed`;
  if (gap) return `Caught up in part, ${count}. The rest is not loaded.`;
  return missed > 0 ? `Caught up, ${count}` : "Connected again, nothing missed";
}

export class StatusView {
  #ui;
  #timer = 0;
  #toastTimer = 0;
  /** @type {State | null} */
  #last = null;

  /** @param {Ui} ui */
  constructor(ui) {
    this.#ui = ui;
  }

  reset() {
    this.#hide();
    this.#last = null;
  }

  /**
   * Also called every half second, since a wait counts down.
   * @param {State} state
   * @param {boolean} again we were in before
   */
  show(state, again) {
    setText(this.#ui.status, statusText(state, again));
    this.#ui.stateDot.dataset.state = state.name;
    const changed = this.#last !== state;
    this.#last = state;
    if (changed && (state.name === "waiting" || state.name === "refused")) this.#trouble(state);
    // While an attempt runs the banner stays as it is: a flicker tells nobody anything.
  }

  /** @param {CaughtUp | null} done back again; null: in for the first time */
  live(done) {
    this.#hide();
    if (!done) return;
    this.#banner(caughtUpText(done), done.recovered && !done.gap ? "good" : "warn");
    this.#timer = setTimeout(() => this.#hide(), done.recovered ? GOOD_NEWS_MS : 3 * GOOD_NEWS_MS);
  }

  /** @param {string} text what the server wants people to know */
  notice(text) {
    this.#banner(text, "warn");
    this.#timer = setTimeout(() => this.#hide(), 3 * GOOD_NEWS_MS);
  }

  /**
   * What a person did has worked: shown for a moment, and spoken.
   * @param {string} text
   */
  toast(text) {
    clearTimeout(this.#toastTimer);
    this.#ui.toast.textContent = text;
    this.#toastTimer = setTimeout(() => this.#ui.toast.replaceChildren(), TOAST_MS);
  }

  /** @param {string} text */
  announce(text) {
    this.#ui.announcer.textContent = text;
  }

  /** @param {Waiting | Refused} state */
  #trouble(state) {
    this.#banner(troubleText(state), state.name === "refused" ? "final" : "warn");
    this.#ui.retry.textContent = state.name === "refused" ? "Try again" : "Try now";
    this.#ui.retry.hidden = false;
  }

  /** @param {string} text @param {"good" | "warn" | "final"} kind */
  #banner(text, kind) {
    clearTimeout(this.#timer);
    if (this.#ui.bannerText.textContent !== text) this.announce(text);
    this.#ui.bannerText.textContent = text;
    this.#ui.banner.dataset.kind = kind;
    this.#hideRetry();
    this.#ui.banner.hidden = false;
  }

  #hide() {
    clearTimeout(this.#timer);
    this.#hideRetry();
    this.#ui.banner.hidden = true;
    this.#ui.bannerText.textContent = "";
  }

  #hideRetry() {
    if (document.activeElement === this.#ui.retry) this.#ui.message.focus();
    this.#ui.retry.hidden = true;
  }
}
