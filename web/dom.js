// Making elements. Children that are strings become text nodes: nothing here, or on the page, ever
// parses markup.

export function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// A button that says by data-act what it wants; whoever holds it listens for clicks.
export function button(act, className, ...children) {
  const node = element('button', className, ...children);
  node.type = 'button';
  node.dataset.act = act;
  return node;
}

// Text with the given [from, to) ranges marked.
export function marked(text, ranges) {
  const fragment = document.createDocumentFragment();
  let at = 0;
  for (const [from, to] of ranges) {
    fragment.append(text.slice(at, from), element('mark', '', text.slice(from, to)));
    at = to;
  }
  fragment.append(text.slice(at));
  return fragment;
}

// Live regions speak whenever they change, so they change only when there is something to say.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// True where a panel covers the conversation instead of standing beside it; app.css has the same number.
export const narrow = matchMedia('(max-width: 63.99rem)');

// Returns whether it is in the clipboard.
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { /* no https, or not allowed: the old way */ }
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'unseen';
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  return copied;
}
