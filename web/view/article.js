// One message as people see it: built once, then patched part by part, so that what did not change keeps
// its nodes, its focus and its place.
//
// Buttons in an article carry data-act; view.js hands clicks on. They are no tab stops (there may be
// hundreds): with the keyboard an article is focused and opens its menu, which offers the same. The
// exceptions are a message that was not sent, where the person has to act, and one that is folded.

import { button, element } from "./dom.js";
import { fullTimeOf, initialOf, linkedText, setTone, timeOf } from "./text.js";

/** @import { MessageRow, Said } from "../model/rows.js" */

const LONG_CHARS = 1800;
const LONG_LINES = 20;
const QUOTE_CHARS = 140;
const NAMES_SHOWN = 12;

/** @param {MessageRow} row */
export function buildArticle(row) {
  const article = element(
    "article", "",
    element("span", "avatar"),
    element("p", "meta", element("b", "author"), element("time", "")),
    element("div", "bubble"),
    element("div", "chips"),
    element("div", "delivery"),
  );
  article.tabIndex = -1;
  partOf(article, "avatar").setAttribute("aria-hidden", "true");
  patchArticle(article, row, null);
  return article;
}

/** @param {HTMLElement} article @param {string} name @returns {HTMLElement} */
const partOf = (article, name) => /** @type {HTMLElement} */ (article.querySelector(`.${name}`));

/**
 * @param {HTMLElement} article
 * @param {MessageRow} row
 * @param {MessageRow | null} old what the article shows now
 */
export function patchArticle(article, row, old) {
  const { message } = row;
  article.classList.toggle("start", row.start);
  article.classList.toggle("own", message.own);
  article.classList.toggle("deleted", message.deleted);
  article.classList.toggle("pending", row.state === "waiting" || row.state === "sent");
  article.classList.toggle("failed", row.state === "failed");
  if (message.id === null || row.state === "failed") delete article.dataset.id;
  else article.dataset.id = message.id;
  /** @param {(keyof Said)[]} keys */
  const changed = (...keys) => !old || keys.some((key) => old.message[key] !== message[key]);
  if (changed("username", "ts", "own")) sign(article, message);
  if (changed("text", "deleted", "editedMs") || old?.quote !== row.quote) fill(partOf(article, "bubble"), row);
  if (changed("reactions") || old?.mine !== row.mine) react(partOf(article, "chips"), row);
  if (!old || old.state !== row.state || old.reason !== row.reason) deliver(partOf(article, "delivery"), row);
}

/** @param {HTMLElement} article @param {Said} message */
function sign(article, { username, ts, own }) {
  setTone(article, username);
  partOf(article, "avatar").textContent = initialOf(username);
  const you = own ? [element("span", "you", " (you)")] : [];
  partOf(article, "author").replaceChildren(element("bdi", "", username), ...you, element("span", "unseen", ": "));
  const time = /** @type {HTMLTimeElement} */ (article.querySelector("time"));
  time.dateTime = new Date(ts).toISOString();
  time.title = fullTimeOf(ts);
  time.textContent = timeOf(ts);
}

/** @param {HTMLElement} bubble @param {MessageRow} row */
function fill(bubble, { message, quote }) {
  if (message.deleted) {
    bubble.replaceChildren(element("div", "text", "This message was deleted."));
    return;
  }
  const body = element("div", "text", linkedText(message.text));
  body.dir = "auto";
  if (message.editedMs > 0) {
    const note = element("span", "edited", " (edited)");
    note.title = fullTimeOf(message.editedMs);
    body.append(note);
  }
  /** @type {HTMLElement[]} */
  const parts = [body];
  if (message.replyTo) parts.unshift(quoteOf(quote));
  if (message.text.length > LONG_CHARS || message.text.split("\n", LONG_LINES + 1).length > LONG_LINES) {
    body.classList.add("folded");
    parts.push(button("unfold", "small", "Show all"));
  }
  bubble.replaceChildren(...parts);
}

/**
 * The line a reply answers; null: it is not loaded.
 * @param {Said | null} message
 */
function quoteOf(message) {
  const line = button("quote", "quote");
  line.tabIndex = -1;
  line.title = "Show the message this answers";
  if (!message) {
    line.append(element("span", "quoted", "An earlier message"));
    return line;
  }
  setTone(line, message.username);
  const text = message.deleted ? "This message was deleted." : brief(message.text);
  const quoted = element("span", "quoted", text);
  quoted.dir = "auto";
  line.append(element("b", "author", element("bdi", "", message.username)), quoted);
  return line;
}

/** @param {string} text */
export function brief(text) {
  const flat = text.replace(/\s+/g, " ").trim();
  const chars = Array.from(flat.slice(0, 2 * QUOTE_CHARS + 2));
  return chars.length > QUOTE_CHARS ? `${chars.slice(0, QUOTE_CHARS).join("")}…` : flat;
}

/** @param {HTMLElement} chips @param {MessageRow} row */
function react(chips, { message, mine }) {
  const focus = document.activeElement;
  const focused = focus instanceof HTMLElement && chips.contains(focus) ? focus.dataset.emoji : undefined;
  const own = mine.split("\n");
  chips.replaceChildren(...message.reactions.map(({ emoji, count, names }) => {
    const chip = button("react", "chip", element("span", "emoji", emoji), element("span", "count", `${count}`));
    chip.dataset.emoji = emoji;
    chip.tabIndex = -1;
    chip.setAttribute("aria-pressed", `${own.includes(emoji)}`);
    chip.setAttribute("aria-label", `${emoji}, ${count}`);
    if (names.length > 0) chip.title = whoReacted(names, count);
    return chip;
  }));
  if (focused !== undefined) {
    [...chips.querySelectorAll("button")].find((chip) => chip.dataset.emoji === focused)?.focus();
  }
}

/** @param {string[]} names @param {number} count */
function whoReacted(names, count) {
  const shown = names.slice(0, NAMES_SHOWN);
  const others = count - shown.length;
  return others > 0 ? `${shown.join(", ")} and ${others} more` : shown.join(", ");
}

/** @param {HTMLElement} line @param {MessageRow} row */
function deliver(line, { state, reason }) {
  if (state !== "failed") {
    line.replaceChildren();
    return;
  }
  line.replaceChildren(
    element("span", "", `Not sent: ${reason}`),
    button("retry", "small", "Retry"), button("take-back", "small", "Edit"), button("discard", "small", "Discard"),
  );
}
