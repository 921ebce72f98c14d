// The lines between messages in the log: days, where news begin, what is not loaded.

import { button, element } from "./dom.js";
import { dayLabel } from "./text.js";

/** @import { GapRow, MessageRow, Row, TopRow } from "../model/rows.js" */

/** @param {string} className @param {(string | Node)[]} children */
const line = (className, ...children) => element("p", className, ...children);

/** @param {string} text */
const notice = (text) => line("notice", element("span", "", text));

/** @param {Exclude<Row, MessageRow>} row */
export function buildLine(row) {
  switch (row.kind) {
    case "day": return line("separator", element("span", "", dayLabel(row.ts)));
    case "unread": return line("separator unread", element("span", "", "New messages"));
    case "gap": return gapLine(row);
    default: return topLine(row);
  }
}

/** @param {GapRow} row */
function gapLine({ loading }) {
  const words = "Some messages here are not loaded";
  if (loading) return line("notice gap", element("span", "", `${words}. Loading…`));
  return line("notice gap", element("span", "", words), " ", button("load-gap", "small", "Load"));
}

/** @param {TopRow} row */
function topLine({ older }) {
  switch (older) {
    case "start": return notice("The conversation begins here.");
    case "anew": return notice("Here it began anew. What was said before is not on the server any more.");
    case "loading": return notice("Loading older messages…");
    case "full": return notice("This is as far back as the page can show at once.");
    case "failed":
      return line("notice", element("span", "", "Older messages could not be loaded."), " ",
        button("load-older", "small", "Try again"));
    default: {
      // No tab stop: the top is reached with the arrows as well, and focus on its way to the composer
      // would scroll here, load, and lose itself with the button.
      const more = button("load-older", "small", "Load older messages");
      more.tabIndex = -1;
      return line("notice", more);
    }
  }
}
