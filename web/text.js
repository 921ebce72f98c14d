// Turning values into what people read: links, times, colours and initials of names.
//
// Everything here ends as text nodes, attributes we chose ourselves, or anchors whose address was
// parsed and found to be http(s). No string of a message is ever read as markup, which is why this page
// needs no sanitizer. Work per message is bounded, whatever the message holds.

const MAX_LINKS = 60;
const MAX_LINK_CHARS = 2000;
const TONES = 12;

// Stops at white space, quotes, angle brackets, CJK punctuation and at the invisible characters that
// reorder text, with which an address could be made to look like another.
const LINK =
  /\bhttps?:\/\/[^\s<>"“”「」『』【】、。，；！？\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+/gi;

// The full stop after a link belongs to the sentence, and so does a bracket opened before the link.
function trimLink(raw) {
  let end = raw.length;
  const count = (char) => raw.slice(0, end).split(char).length - 1;
  for (;;) {
    const last = raw[end - 1];
    const closesForeignBracket =
      (last === ')' && count('(') < count(')')) || (last === ']' && count('[') < count(']'));
    if (!closesForeignBracket && !/[.,;:!?'*_~…]/.test(last)) return raw.slice(0, end);
    end -= 1;
  }
}

function anchor(raw) {
  let url;
  try {
    url = new URL(raw);
  } catch {
    return null;
  }
  if ((url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '') return null;
  const link = document.createElement('a');
  link.href = url.href;
  link.target = '_blank';
  link.rel = 'noopener noreferrer';
  link.referrerPolicy = 'no-referrer';
  link.textContent = raw;
  return link;
}

// A message as nodes: text, with anchors where it holds web addresses.
export function linkedText(text) {
  const fragment = document.createDocumentFragment();
  let from = 0;
  let links = 0;
  for (const match of text.matchAll(LINK)) {
    if (match[0].length > MAX_LINK_CHARS) continue;
    const raw = trimLink(match[0]);
    const link = anchor(raw);
    if (!link) continue;
    fragment.append(text.slice(from, match.index), link);
    from = match.index + raw.length;
    if (++links === MAX_LINKS) break;
  }
  fragment.append(text.slice(from));
  return fragment;
}

const timeFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const dayYearFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'long' });

export const timeOf = (ms) => timeFormat.format(ms);
export const fullTimeOf = (ms) => fullFormat.format(ms);

// Two moments have the same key iff they fall on the same day here.
export const dayKey = (ms) => new Date(ms).toDateString();

export function dayLabel(ms) {
  const today = new Date();
  const yesterday = new Date(today);
  yesterday.setDate(today.getDate() - 1);
  if (dayKey(ms) === dayKey(today)) return 'Today';
  if (dayKey(ms) === dayKey(yesterday)) return 'Yesterday';
  const thisYear = new Date(ms).getFullYear() === today.getFullYear();
  return (thisYear ? dayFormat : dayYearFormat).format(ms);
}

// The hue of a name in degrees, the same on every screen: FNV-1a over its code units.
export function toneOf(name) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return 15 + ((hash >>> 0) % TONES) * (360 / TONES);
}

const segmenter = Intl.Segmenter ? new Intl.Segmenter() : null;

// The first character as people count them: a flag or a family emoji is one.
export function initialOf(name) {
  const [first = '?'] = segmenter ? Array.from(segmenter.segment(name), (s) => s.segment) : Array.from(name);
  return first.length > 16 ? Array.from(first)[0] : first.toLocaleUpperCase();
}
