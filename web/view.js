// The log of messages as people see it. The only module that builds the conversation's DOM.
//
// Invariants
//   1. Order: what the server confirmed stands in the server's order; what is still in flight stands
//      after it and takes its place when its echo comes. A failed message stays where it failed.
//   2. The document is bounded: past LOG_MAX rows the oldest go, and a note says so. Messages that
//      have not arrived are never dropped this way.
//   3. The reader's position is theirs: the log follows new messages only while its end is in view.
//   4. No layout is read while messages arrive. Whether the end is in view is kept by the scroll
//      event, and one scroll per frame follows, so a room of hundreds of messages a second stays usable.
//
// For screen readers the log is a live region that announces additions only. Each article begins with
// who says it; where a group of messages shows the name once, it is still there unseen.

import { dayKey, dayLabel, fullTimeOf, initialOf, linkedText, timeOf, toneOf } from './text.js';

const LOG_MAX = 500;
const GROUP_MS = 5 * 60 * 1000;
const END_SLACK_PX = 40;
const LONG_CHARS = 1800;
const LONG_LINES = 20;

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function button(label, onClick) {
  const node = element('button', 'small', label);
  node.type = 'button';
  node.addEventListener('click', onClick);
  return node;
}

const isMessage = (node) => node?.tagName === 'ARTICLE';

export class LogView {
  #log;
  #empty;
  #jump;
  #facts = new WeakMap(); // article -> {username, ts, own}
  #inFlight = new Map(); // n -> own article not yet confirmed or given up
  #ids = new Set(); // ids shown, to drop what comes twice
  #lastDay = '';
  #atEnd = true;
  #top = 0;
  #height = 0;
  #scrollPlanned = false;
  #below = 0;
  #unreadLine = null;

  constructor({ log, empty, jump }) {
    this.#log = log;
    this.#empty = empty;
    this.#jump = jump;
    log.addEventListener('scroll', () => this.#onScroll(), { passive: true });
    jump.addEventListener('click', () => this.scrollToEnd());
    // The keyboard of a phone, a growing composer: the end stays in view where it was.
    new ResizeObserver(() => {
      this.#height = log.clientHeight;
      this.#follow();
    }).observe(log);
  }

  clear() {
    this.#log.replaceChildren(this.#empty);
    this.#empty.hidden = false;
    this.#inFlight.clear();
    this.#ids.clear();
    this.#lastDay = '';
    this.#unreadLine = null;
    this.scrollToEnd();
  }

  // A message of the room. Returns false where it was shown before.
  addMessage(message) {
    if (!this.#remember(message.id)) return false;
    const article = this.#article({ ...message, own: false });
    article.dataset.id = message.id ?? '';
    this.#place(article, message.ts);
    if (!this.#atEnd) {
      this.#below += 1;
      this.#showJump();
    }
    return true;
  }

  // A message of ours, shown before the server has confirmed it.
  addPending({ n, text, username, ts }) {
    const article = this.#article({ text, username, ts, own: true });
    article.classList.add('pending');
    this.#inFlight.set(n, article);
    this.#insert(article, null);
    this.scrollToEnd();
  }

  // The echo of n: the server's facts replace ours.
  confirm(n, message) {
    const article = this.#inFlight.get(n);
    if (!article) return;
    if (!this.#remember(message.id)) return this.discard(n);
    this.#inFlight.delete(n);
    article.classList.remove('pending', 'failed');
    article.querySelector('.delivery')?.remove();
    article.dataset.id = message.id ?? '';
    this.#facts.set(article, { username: message.username, ts: message.ts, own: true });
    this.#sign(article, message.username, message.ts);
    this.#place(article, message.ts);
  }

  // n did not arrive, or nobody knows. actions: [[label, onClick]].
  fail(n, reason, actions) {
    const article = this.#inFlight.get(n);
    if (!article) return;
    article.classList.remove('pending');
    article.classList.add('failed');
    article.querySelector('.delivery')?.remove();
    const buttons = actions.map(([label, onClick]) => button(label, onClick));
    article.append(element('div', 'delivery', element('span', '', reason), ...buttons));
    this.#follow();
  }

  discard(n) {
    const article = this.#inFlight.get(n);
    this.#inFlight.delete(n);
    if (!article) return;
    const next = article.nextElementSibling;
    article.remove();
    this.#group(next);
  }

  // A line of the page itself, not of a person.
  notice(text, kind = '') {
    this.#insert(element('p', `notice ${kind}`, element('span', '', text)), this.#firstPending());
    this.#trim();
    this.#follow();
  }

  // What follows came while nobody was looking.
  markUnread() {
    this.#unreadLine?.remove();
    this.#unreadLine = element('p', 'separator unread', element('span', '', 'New'));
    this.#insert(this.#unreadLine, this.#firstPending());
  }

  scrollToEnd() {
    this.#atEnd = true;
    this.#showJump();
    this.#follow();
  }

  #remember(id) {
    if (id === null) return true;
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    // Sets keep insertion order. Twice what is shown is enough to know a repeat.
    if (this.#ids.size > 2 * LOG_MAX) this.#ids.delete(this.#ids.values().next().value);
    return true;
  }

  #article({ text, username, ts, own }) {
    const body = element('div', 'text', linkedText(text));
    body.dir = 'auto';
    const article = element(
      'article', own ? 'own' : '',
      element('span', 'avatar'),
      element('p', 'meta', element('b', 'author'), element('time', '')),
      element('div', 'bubble', body),
    );
    article.firstChild.setAttribute('aria-hidden', 'true');
    if (text.length > LONG_CHARS || text.split('\n', LONG_LINES + 1).length > LONG_LINES) this.#fold(body);
    this.#facts.set(article, { username, ts, own });
    this.#sign(article, username, ts);
    return article;
  }

  #fold(body) {
    body.classList.add('folded');
    const more = button('Show all', () => {
      body.classList.remove('folded');
      more.remove();
    });
    body.after(more);
  }

  #sign(article, username, ts) {
    article.style.setProperty('--tone', toneOf(username));
    article.querySelector('.avatar').textContent = initialOf(username);
    const author = element('bdi', '', username);
    const you = this.#facts.get(article).own ? [element('span', 'you', ' (you)')] : [];
    article.querySelector('.author').replaceChildren(author, ...you, element('span', 'unseen', ': '));
    const time = article.querySelector('time');
    time.dateTime = new Date(ts).toISOString();
    time.title = fullTimeOf(ts);
    time.textContent = timeOf(ts);
  }

  // Puts a confirmed message at the end of the confirmed ones, after a line for its day.
  #place(article, ts) {
    const before = this.#firstPending();
    const next = article.nextElementSibling;
    const inPlace = article.isConnected && next === before;
    const day = dayKey(ts);
    if (day !== this.#lastDay) {
      this.#lastDay = day;
      const line = element('p', 'separator', element('span', '', dayLabel(ts)));
      this.#insert(line, inPlace ? article : before);
    }
    // A node is moved only where it must be: moving makes screen readers say it again.
    if (inPlace) this.#group(article);
    else this.#insert(article, before);
    this.#group(next);
    this.#trim();
    this.#follow();
  }

  #firstPending() {
    for (const article of this.#inFlight.values()) {
      if (article.classList.contains('pending')) return article;
    }
    return null;
  }

  #insert(node, before) {
    this.#empty.hidden = this.#empty.hidden || isMessage(node);
    this.#log.insertBefore(node, before);
    if (isMessage(node)) this.#group(node);
    this.#group(node.nextElementSibling);
  }

  // Messages of one author in quick succession show name and initial once.
  #group(node) {
    if (!isMessage(node)) return;
    const mine = this.#facts.get(node);
    const above = this.#facts.get(node.previousElementSibling);
    const joined =
      above !== undefined && above.username === mine.username && above.own === mine.own &&
      Math.abs(mine.ts - above.ts) < GROUP_MS;
    node.classList.toggle('start', !joined);
  }

  #trim() {
    let excess = this.#log.childElementCount - LOG_MAX;
    if (excess <= 0) return;
    const steady = this.#atEnd || CSS.supports('overflow-anchor', 'auto');
    const heightBefore = steady ? 0 : this.#log.scrollHeight;
    let node = this.#log.firstElementChild;
    while (node && excess > 0) {
      const next = node.nextElementSibling;
      if (!node.matches('.empty, .trimmed, .pending, .failed')) {
        node.remove();
        excess -= 1;
      }
      node = next;
    }
    this.#group(node);
    if (!this.#log.querySelector('.trimmed')) {
      const words = 'Only the newest messages are kept on this page. Older ones were removed.';
      this.#log.prepend(element('p', 'notice trimmed', element('span', '', words)));
    }
    if (!steady) this.#log.scrollTop -= heightBefore - this.#log.scrollHeight;
  }

  // Only a move upwards leaves the end. Growth alone does not, however far the end has run ahead of
  // us, nor a log that just became smaller (#height is as of the observer, which follows). While we
  // follow, the browser is told not to move the content by itself.
  #onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    const wasAtEnd = this.#atEnd;
    if (scrollHeight - scrollTop - clientHeight <= END_SLACK_PX) this.#atEnd = true;
    else if (scrollTop < this.#top && clientHeight === this.#height) this.#atEnd = false;
    this.#top = scrollTop;
    if (this.#atEnd !== wasAtEnd) this.#showJump();
  }

  #showJump() {
    this.#jump.hidden = this.#atEnd;
    this.#log.style.overflowAnchor = this.#atEnd ? 'none' : '';
    if (this.#atEnd) this.#below = 0;
    const words = this.#below === 1 ? '1 new message' : `${this.#below} new messages`;
    this.#jump.textContent = this.#below > 0 ? words : 'Back to the newest';
    this.#jump.classList.toggle('fresh', this.#below > 0);
  }

  #follow() {
    if (!this.#atEnd || this.#scrollPlanned) return;
    this.#scrollPlanned = true;
    requestAnimationFrame(() => {
      this.#scrollPlanned = false;
      if (!this.#atEnd) return;
      this.#log.scrollTop = this.#log.scrollHeight;
      this.#top = this.#log.scrollTop;
    });
  }
}
