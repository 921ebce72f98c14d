// Finding and making elements. Children that are strings become text nodes: nothing here, or on the page, ever
// parses markup.

/**
 * The page's elements that have an id, as ui.camelCase.
 * @typedef {Record<string, HTMLElement> & {
 *   room: HTMLInputElement, name: HTMLInputElement, query: HTMLInputElement, message: HTMLTextAreaElement, send: HTMLButtonElement,
 *   menu: HTMLDialogElement, confirmLeave: HTMLDialogElement, confirmDelete: HTMLDialogElement,
 * }} Ui
 */

/** @param {string} id */
const camelCase = (id) => id.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());

export const elementsById = () => /** @type {Ui} */ (
  Object.fromEntries(Array.from(document.querySelectorAll("[id]"), (node) => [camelCase(node.id), node])));

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className
 * @param {(string | Node)[]} children
 */
export function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/**
 * A button that says by data-act what it wants; whoever holds it listens for clicks.
 * @param {string} act
 * @param {string} className
 * @param {(string | Node)[]} children
 */
export function button(act, className, ...children) {
  const node = element("button", className, ...children);
  node.type = "button";
  node.dataset.act = act;
  return node;
}

/**
 * What an event happened to, or the nearest element around it that matches.
 * @param {Event} event
 * @param {string} selector
 */
export function closest(event, selector) {
  const { target } = event;
  return target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest(selector)) : null;
}

/**
 * Text with the given [from, to) ranges marked.
 * @param {string} text
 * @param {number[][]} ranges
 */
export function marked(text, ranges) {
  const fragment = document.createDocumentFragment();
  let at = 0;
  for (const [from, to] of ranges) {
    fragment.append(text.slice(at, from), element("mark", "", text.slice(from, to)));
    at = to;
  }
  fragment.append(text.slice(at));
  return fragment;
}

/**
 * Live regions speak whenever they change, so they change only when there is something to say.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// True where a panel covers the conversation instead of standing beside it; app.css has the same number.
export const narrow = matchMedia("(max-width: 63.99rem)");

/**
 * Returns whether it is in the clipboard.
 * @param {string} text
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { /* no https, or not allowed: the old way */ }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}
