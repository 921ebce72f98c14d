// Marks in the text of all messages, where the browser can do so without changing the document.

/** @import { Match } from "../model/search.js" */

/** @param {HTMLElement} log @param {Match | null} match */
export function highlight(log, match) {
  if (!CSS.highlights) return;
  CSS.highlights.delete("search");
  if (!match) return;
  /** @type {Range[]} */
  const ranges = [];
  for (const body of log.querySelectorAll("article[data-id] .text")) {
    if (!match.test(body.textContent ?? "")) continue;
    const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = /** @type {Text} */ (walker.currentNode);
      for (const [from, to] of match.ranges(text.data)) {
        const range = new Range();
        range.setStart(text, from);
        range.setEnd(text, to);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set("search", new Highlight(...ranges));
}
