// Turning values into what people read: links, times, colours and initials of names.
//
// Everything here ends as text nodes, attributes we chose ourselves, or anchors whose address was
// parsed and found to be http(s), or mail to one plain address. No string of a message is ever read as
// markup, which is why this page needs no sanitizer. Work per message is bounded, whatever it holds.

import { dayOf } from "../model/rows.js";

const MAX_LINKS = 60;
const MAX_LINK_CHARS = 2000;
const HUES = 24;

// A word ends at white space, quotes, angle brackets, CJK punctuation and at the invisible characters that
// reorder text, with which an address could be made to look like another.
const WORD =
  /[^\s<>"“”「」『』【】、。，；！？\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+/g;
const WEB = /\bhttps?:\/\//i;
const WWW = /^www\.(?:[\p{L}\p{N}-]{1,63}\.)+\p{L}{2,63}(?=[:/?#]|$)/iu;
const MAIL = /^[\w.+-]{1,64}@(?:[a-z0-9-]{1,63}\.)+[a-z]{2,63}$/i;
const OPENING = /^[([{*_~'‘]+/;

// The full stop after a link belongs to the sentence, and so does a bracket opened before the link.
/** @param {string} raw */
function trimLink(raw) {
  let end = raw.length;
  /** @param {string} char */
  const count = (char) => raw.slice(0, end).split(char).length - 1;
  for (;;) {
    const last = raw[end - 1];
    const closesForeignBracket =
      (last === ")" && count("(") < count(")")) || (last === "]" && count("[") < count("]"));
    if (!closesForeignBracket && !/[.,;:!?'*_~…]/.test(last)) return raw.slice(0, end);
    end -= 1;
  }
}

/**
 * The address that a person means by this, or null.
 * @param {string} raw
 */
function addressOf(raw) {
  if (MAIL.test(raw)) return `mailto:${raw}`;
  const bare = WWW.test(raw);
  if (!bare && raw.search(WEB) !== 0) return null;
  try {
    const url = new URL(bare ? `https://${raw}` : raw);
    const web = (url.protocol === "http:" || url.protocol === "https:") && url.hostname !== "";
    // In www.bank.example:x@evil.example what looks like the host is a user's name.
    return web && !(bare && url.username !== "") ? url.href : null;
  } catch {
    return null;
  }
}

/** @param {string} raw */
function anchor(raw) {
  const address = addressOf(raw);
  if (address === null) return null;
  const link = document.createElement("a");
  link.href = address;
  if (!address.startsWith("mailto:")) link.target = "_blank";
  link.rel = "noopener noreferrer";
  link.referrerPolicy = "no-referrer";
  link.textContent = raw;
  return link;
}

/**
 * Where in a word a link begins, if it holds one.
 * @param {string} word
 */
const linkStart = (word) => {
  const web = word.search(WEB);
  return web >= 0 ? web : OPENING.exec(word)?.[0].length ?? 0;
};

/**
 * A message as nodes: text, with anchors where it holds addresses of the web or of mail.
 * @param {string} text
 */
export function linkedText(text) {
  const fragment = document.createDocumentFragment();
  let from = 0;
  let links = 0;
  for (const match of text.matchAll(WORD)) {
    if (match[0].length > MAX_LINK_CHARS || !/[@.]|:\/\//.test(match[0])) continue;
    const start = linkStart(match[0]);
    const raw = trimLink(match[0].slice(start));
    const link = anchor(raw);
    if (!link) continue;
    fragment.append(text.slice(from, match.index + start), link);
    from = match.index + start + raw.length;
    if (++links === MAX_LINKS) break;
  }
  fragment.append(text.slice(from));
  return fragment;
}

const timeFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const dayYearFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });

/** @param {number} ms */
export const timeOf = (ms) => timeFormat.format(ms);
/** @param {number} ms */
export const fullTimeOf = (ms) => fullFormat.format(ms);

/** @param {number} ms */
export function dayLabel(ms) {
  const today = new Date();
  const yesterday = new Date(today);
  yesterday.setDate(today.getDate() - 1);
  if (dayOf(ms) === dayOf(today.getTime())) return "Today";
  if (dayOf(ms) === dayOf(yesterday.getTime())) return "Yesterday";
  const thisYear = new Date(ms).getFullYear() === today.getFullYear();
  return (thisYear ? dayFormat : dayYearFormat).format(ms);
}

/**
 * Gives a node the colours of a name, the same on every screen: FNV-1a over its code units picks one of
 * HUES in one of two depths; app.css makes colours of them.
 * @param {HTMLElement} node
 * @param {string} name
 */
export function setTone(node, name) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 8; // the low bits of FNV alone are poor
  node.style.setProperty("--tone", `${(mixed % HUES) * (360 / HUES)}`);
  node.style.setProperty("--deep", `${Math.floor(mixed / HUES) % 2}`);
}

const segmenter = Intl.Segmenter ? new Intl.Segmenter() : null;

/**
 * The first character as people count them: a flag or a family emoji is one.
 * @param {string} name
 */
export function initialOf(name) {
  const [first = "?"] = segmenter ? Array.from(segmenter.segment(name), (s) => s.segment) : Array.from(name);
  return first.length > 16 ? Array.from(first)[0] : first.toLocaleUpperCase();
}
