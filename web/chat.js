// Being in a room: takes what the session delivers to Room, Outbox and Presence, and what a person does
// to the session; the parts of the page show the result.
//
// Invariants
//   1. Drawing happens at most once a frame, from the whole state: nothing here has to know what changed.
//   2. After an await the page may be in another room. What came too late goes to the room it was asked
//      for, which nobody looks at any more, and says nothing.
//   3. What was said before the stream has caught up waits: only then is known what had arrived.

import { Composer } from './composer.js';
import { copyText } from './dom.js';
import { HoverBar } from './hover.js';
import { memory, onMemoryChange, readMarks, RememberedSet } from './memory.js';
import { MessageMenu } from './menu.js';
import { Outbox } from './outbox.js';
import { Pager } from './pager.js';
import { Presence } from './presence.js';
import { Room } from './room.js';
import { rowsOf } from './rows.js';
import * as rules from './rules.js';
import { RequestError, Session } from './session.js';
import { Side } from './side.js';
import { StatusView } from './status.js';
import { LogView } from './view.js';

const KEEP_AT_END = 500; // messages on the page while its end is in view
const KEEP_MAX = 3000; // while somebody reads further up
const KEEP_SLACK = 100; // so many are taken away at once: each time moves all that is below
const CATCH_UP_QUIET_MS = 2000; // nothing more comes, although the head is not reached
const OWN_MAX = 1000;
const REACTED_MAX = 500;
const CLAIMED_MAX = 50;
const READ_PAUSE_MS = 2000; // between two tellings how far was read, and more for each who is here:
const READ_PAUSE_EACH_MS = 20; // a thousand who read make 50 writes a second, not 500

export class Chat {
  #ui;
  #onUnread;
  #log;
  #side;
  #status;
  #menu;
  #hover;
  #composer;
  #presence;
  #own = new RememberedSet('own', OWN_MAX); // ids of what was said by this browser
  #reacted = new RememberedSet('reacted', REACTED_MAX); // see #reactionKey()
  #claimed = new RememberedSet('claimed', CLAIMED_MAX); // names of which a person said "that is me, wherever"
  #session = null;
  #room = new Room();
  #pager = null;
  #outbox = new Outbox();
  #roomName = '';
  #name = '';
  #state = { name: 'closed' };
  #again = false; // we were in this room before the connection was lost
  #caughtUp = { again: false, recovered: true, anew: false, missed: 0, gap: 0 }; // see Room.caughtUp()
  #messageMaxBytes = rules.MESSAGE_MAX_BYTES;
  #readMark = null; // as of entering, or of another device of this name
  #readSeq = 0; // as remembered
  #toldSeq = 0; // the same as the server was told
  #tellNextMs = 0;
  #tickTimer = 0;
  #quietTimer = 0;
  #drawPlanned = false;
  #hush = false;
  #match = null;

  // ui: the page's elements. onUnread(count).
  constructor(ui, { onUnread }) {
    this.#ui = ui;
    this.#onUnread = onUnread;
    this.#status = new StatusView(ui);
    this.#log = new LogView({
      log: ui.log, empty: ui.empty, jump: ui.newMessages,
      handlers: {
        onAction: (act, row, acting) => this.#act(act, row, acting),
        onNearTop: () => this.#loadOlder(),
        onEnd: () => this.#onLook(),
      },
    });
    this.#menu = new MessageMenu({
      dialog: ui.menu, log: ui.log, view: this.#log,
      may: (row) => this.#may(row),
      onChoice: (act, row, emoji) => this.#choose(act, row, emoji),
      onPress: () => this.#onPress(),
    });
    this.#hover = new HoverBar({
      bar: ui.hover, log: ui.log, view: this.#log,
      may: (row) => this.#may(row),
      onChoice: (act, row, at) => (act === 'menu' ? this.#openMenu(row, at) : this.#choose(act, row)),
    });
    this.#composer = new Composer(ui, {
      onSay: (text, replyTo) => this.#say(text, replyTo),
      onEdit: (message, text) => this.#edit(message, text),
      onTyping: (on) => this.#live && this.#session.tell({ type: 'typing', on }),
      lastOwn: () => this.#room.messages.findLast((m) => m.own && this.#mayChange(m)) ?? null,
      maxBytes: () => this.#messageMaxBytes,
    });
    this.#side = new Side(ui, {
      messages: () => this.#room.messages,
      complete: () => this.#room.atStart && this.#room.gaps.length === 0,
      solidFrom: () => this.#room.solidFrom?.id,
      fetchOlder: (page) => this.#request({ type: 'history', ...page }),
      onJump: (id) => this.#jumpTo(id),
      onMatch: (match) => this.#mark(match),
      onShow: () => this.#presence?.show(),
    });
    this.#presence = new Presence({ line: ui.typing, side: this.#side, ask: (frame) => this.#request(frame) });
    ui.retry.addEventListener('click', () => this.#session.retryNow());
    ui.newMessages.addEventListener('click', () => this.#composer.focus());
    document.addEventListener('visibilitychange', () => document.hidden || this.#onLook());
    addEventListener('pagehide', () => this.#session && this.#remember());
    for (const key of ['own', 'claimed']) onMemoryChange(key, () => this.#onOwnElsewhere());
  }

  // -- Coming and going

  enter({ room, name, draft }) {
    this.#roomName = room;
    this.#name = name;
    this.#room = new Room();
    this.#outbox = new Outbox();
    this.#pager = new Pager({
      room: this.#room, max: KEEP_MAX,
      ask: (page) => this.#request({ type: 'history', ...page }),
      own: (message) => this.#isOwn(message),
      onChange: () => this.#onPage(),
    });
    this.#again = false;
    this.#readMark = readMarks.get({ room, name });
    this.#readSeq = 0;
    this.#ui.roomName.textContent = room;
    this.#status.reset();
    this.#composer.reset({ text: draft, placeholder: `Message as ${name}` });
    this.#session = new Session({
      room, name, since: () => this.#room.position,
      handlers: { onState: (state) => this.#onState(state), onFrame: (frame) => this.#onFrame(frame) },
    });
    this.#side.reset();
    this.#presence.reset(name);
    this.#log.scrollToEnd();
    this.#draw();
    this.#tickTimer = setInterval(() => this.#onTick(), 500);
    this.#session.start();
    this.#composer.focus();
  }

  leave() {
    const session = this.#session;
    if (!session) return;
    this.#remember();
    this.#session = null;
    clearInterval(this.#tickTimer);
    clearTimeout(this.#quietTimer);
    this.#presence.reset(null);
    session.stop();
    this.#menu.close();
    this.#hover.hide();
  }

  // Whoever speaks under this name is the person at this browser, with another device.
  claim(name) {
    this.#claimed.add(name);
    this.#markOwn();
  }

  hasClaimed(name) {
    return this.#claimed.has(name);
  }

  // What is being written or is not confirmed, as one text.
  get draft() {
    const texts = this.#outbox.all().map((entry) => entry.text);
    return [...texts, this.#composer.draft].join('\n').trim();
  }

  // Messages that the server has not confirmed.
  get unconfirmed() {
    return this.#session ? this.#outbox.size : 0;
  }

  notice(text) {
    this.#composer.notice(text);
  }

  announce(text) {
    this.#status.announce(text);
  }

  // -- The connection

  get #live() {
    return this.#session !== null && this.#state.name === 'live';
  }

  async #request(frame) {
    if (!this.#live) throw new RequestError('lost', 'There is no connection right now.');
    return this.#session.request(frame);
  }

  // For what a person asked for: if it does not happen, why not stands above the composer.
  async #try(what, doing) {
    const room = this.#room;
    try {
      return await doing;
    } catch (error) {
      if (room === this.#room) this.#composer.notice(`${what} ${error.message}`);
      return null;
    }
  }

  #setState(state) {
    this.#state = state;
    this.#status.show(state, this.#again);
  }

  #onState(state) {
    if (!this.#session) return;
    this.#setState(state);
    if (state.name === 'connecting' || state.name === 'connected') return;
    clearTimeout(this.#quietTimer);
    this.#presence.lost();
    this.#remember(); // the room may not be the same when we are back
    if (state.name === 'refused') this.#outbox.giveUp();
    this.#draw();
  }

  #onTick() {
    this.#status.show(this.#state, this.#again);
    this.#presence.tick();
    this.#remember();
    this.#tellRead();
  }

  // -- What the server says

  #onFrame(frame) {
    if (!this.#session) return;
    switch (frame.type) {
      case 'welcome':
        this.#name = frame.username || this.#name;
        this.#messageMaxBytes = frame.messageMaxBytes ?? this.#messageMaxBytes;
        break;
      case 'joined':
        this.#onJoined(frame);
        break;
      case 'message':
        this.#onMessage(frame);
        break;
      case 'edit':
      case 'delete':
      case 'react':
      case 'unreact':
        this.#onChange(frame);
        break;
      case 'gap':
        this.#onGap(frame);
        break;
      case 'presence':
        this.#presence.onPresence(frame);
        break;
      case 'typing':
        this.#presence.onTyping(frame);
        break;
      case 'notice':
        if (frame.detail) this.#status.notice(frame.detail);
        break;
      default: // answers go to who asked
    }
  }

  #onJoined(frame) {
    this.#again = this.#room.position !== null;
    this.#room.joined(frame, this.#readMark?.epoch);
    this.#takeReadMark(frame);
    this.#presence.joined({ name: this.#name, count: frame.members });
    this.#setState({ name: 'catching-up' });
    this.#afterStream();
  }

  #onMessage(frame) {
    const earlier = this.#outbox.get(frame.nonce)?.echoId ?? null;
    const entry = this.#outbox.echo(frame);
    if (entry && earlier !== null && earlier !== frame.id) this.#room.drop(earlier);
    if (entry) this.#own.add(frame.id);
    const own = entry !== null || this.#isOwn(frame);
    this.#room.message(frame, { own, key: entry?.nonce, seen: this.#isSeen(frame) });
    this.#presence.onTyping({ username: frame.username, on: false });
    this.#afterStream();
  }

  #onChange(frame) {
    this.#room.change(frame);
    if (frame.type === 'delete') this.#composer.forget(frame.target);
    this.#afterStream();
  }

  #onGap(frame) {
    if (!this.#room.replaying) this.#tellGap(frame); // a slow server: we thought that nothing more would come
    this.#room.gap(frame);
    this.#afterStream();
    this.#pager.refreshBefore(frame).catch(() => {}); // lost again: the next resume decides anew
  }

  #tellGap({ from, to }) {
    this.#caughtUp = { ...this.#caughtUp, again: true, gap: to - from + 1 };
    this.#status.live(this.#caughtUp);
  }

  // After every frame of the stream.
  #afterStream() {
    clearTimeout(this.#quietTimer);
    const room = this.#room;
    if (room.replaying) {
      this.#hush = true;
      const done = room.caughtUp();
      if (done) this.#onLive(done);
      else this.#quietTimer = setTimeout(() => this.#onLive(room.caughtUp(true)), CATCH_UP_QUIET_MS);
    }
    const keep = this.#log.atEnd ? KEEP_AT_END : KEEP_MAX;
    if (room.messages.length > keep + KEEP_SLACK) room.trim(keep);
    this.#noteSeen();
    this.#draw();
  }

  #onLive(done) {
    this.#setState({ name: 'live' });
    this.#caughtUp = done;
    this.#status.live(done.again ? done : null);
    if (!done.again) this.#status.announce('Connected');
    this.#pager.wake();
    const whole = done.recovered && done.gap === 0;
    for (const entry of this.#outbox.resume({ nowMs: Date.now(), whole })) this.#transmit(entry);
    this.#presence.refresh();
    if (this.#room.messages.length === 0 && this.#room.head > 0) this.#pager.loadNewest().catch(() => {});
    this.#noteSeen();
    this.#draw();
  }

  // -- Seen and unseen

  // What is here on entering was seen before, if nothing is known of how far this person was here.
  #isSeen({ seq }) {
    const mark = this.#readMark?.epoch === this.#room.epoch ? this.#readMark : null;
    if (mark !== null && seq <= mark.seq) return true;
    if (this.#room.entering) return mark === null;
    return !document.hidden && this.#log.atEnd && !this.#room.replaying;
  }

  #takeReadMark({ epoch, readSeq }) {
    const mark = this.#readMark;
    const known = mark?.epoch === epoch ? mark.seq : 0;
    if (readSeq > known) this.#readMark = { epoch, seq: readSeq };
    this.#toldSeq = readSeq;
  }

  // For the other devices of this name. What is told in vain is told again after the next message, or
  // after coming back.
  #tellRead() {
    const { unread, head, position } = this.#room;
    const looked = unread === 0 && !document.hidden && this.#log.atEnd;
    if (!this.#live || !looked || head <= this.#toldSeq || Date.now() < this.#tellNextMs) return;
    this.#toldSeq = head;
    this.#tellNextMs = Date.now() + READ_PAUSE_MS + READ_PAUSE_EACH_MS * this.#presence.count;
    this.#request({ type: 'read', id: position }).catch(() => {});
  }

  #noteSeen() {
    if (!document.hidden && this.#log.atEnd && !this.#room.replaying) this.#room.markSeen();
    this.#onUnread(this.#room.unread);
  }

  #onLook() {
    if (!this.#session) return;
    this.#noteSeen();
    this.#draw();
  }

  #remember() {
    const { unread, head, epoch } = this.#room;
    // A room that began anew and is empty is remembered as what it was, so that a reload says so again.
    if (unread > 0 || head === 0 || head === this.#readSeq || this.#room.replaying) return;
    this.#readSeq = head;
    readMarks.set({ room: this.#roomName, name: this.#name }, { epoch, seq: head });
  }

  // Ours is what this browser said under the name of this tab; in another tab somebody else may sit.
  #isOwn({ id, username }) {
    return username === this.#name && (this.#own.has(id) || this.#claimed.has(username));
  }

  #onOwnElsewhere() {
    this.#own.reload();
    this.#claimed.reload();
    this.#markOwn();
  }

  #markOwn() {
    this.#room.markOwn((message) => this.#isOwn(message));
    this.#draw();
  }

  // -- Saying something

  #say(text, replyTo) {
    const frame = this.#frameOf({ text, replyTo, nonce: '' });
    let problem = rules.messageProblem(text, this.#messageMaxBytes);
    if (!problem && rules.byteLength(JSON.stringify(frame)) > rules.FRAME_MAX_BYTES - 200) {
      problem = 'Too long to send once encoded: it holds many control characters.';
    }
    if (this.#state.name === 'refused') problem = 'Not sent: there is no connection. Your text is still here.';
    if (problem) return problem;
    const entry = this.#outbox.add({ text, replyTo, nowMs: Date.now() });
    this.#room.clearLine();
    if (this.#live) this.#transmit(entry);
    this.#log.scrollToEnd();
    this.#draw();
    return '';
  }

  #frameOf({ text, replyTo, nonce }) {
    return { type: 'message', message: text, nonce, ...(replyTo ? { reply_to: replyTo } : {}) };
  }

  async #transmit(entry) {
    const room = this.#room;
    const outbox = this.#outbox;
    outbox.markSent(entry, Date.now());
    try {
      const ack = await this.#session.request(this.#frameOf(entry));
      outbox.remove(entry.nonce);
      this.#own.add(ack.id);
      if (entry.echoId !== null && entry.echoId !== ack.id) room.drop(entry.echoId);
      const { text, replyTo, nonce, ts } = entry;
      room.acked({ ...ack, ts: ack.ts ?? ts, text, replyTo, username: this.#name }, nonce);
    } catch (error) {
      if (error.code === 'lost') return; // it is sent again after coming back
      outbox.fail(entry, error.message);
    }
    this.#draw();
  }

  #edit(message, text) {
    if (text === message.text) return '';
    const problem = rules.messageProblem(text, this.#messageMaxBytes);
    if (problem) return problem;
    if (!this.#live) return 'Not saved: there is no connection. Your text is still here.';
    const room = this.#room;
    this.#request({ type: 'edit', id: message.id, message: text }).catch((error) => {
      if (room !== this.#room) return;
      if (this.#composer.text === '') this.#composer.edit(message, text);
      this.#composer.notice(`Not saved. ${error.message}`);
    });
    return '';
  }

  // -- What can be done with a message

  #may({ kind, message, state }) {
    if (kind !== 'message') return {};
    const there = message.id !== null && state !== 'failed' && !message.deleted;
    const mine = there && this.#mayChange(message);
    return {
      react: there, reply: there, quote: there && message.replyTo !== null, copy: !message.deleted,
      edit: mine, delete: mine, mine: mine && !message.own,
    };
  }

  // The server decides by name, too: what we said under another one is not ours any more.
  #mayChange({ username, deleted }) {
    return username === this.#name && !deleted;
  }

  // The row may have aged while the menu was open over it.
  async #choose(act, row, emoji) {
    const message = this.#room.get(row.message.id) ?? row.message;
    if (message.deleted) return this.#composer.notice('That message was deleted.');
    switch (act) {
      case 'reply': return this.#composer.reply(message);
      case 'edit': return this.#composer.edit(message);
      case 'copy': return this.#copy(message.text);
      case 'mine': return this.claim(message.username);
      case 'quote': return this.#jumpTo(message.replyTo);
      case 'react': return this.#react(message, emoji);
      case 'delete': return this.#delete(message);
      default: return undefined;
    }
  }

  // Something with data-act in the log.
  #act(act, row, acting) {
    const entry = row.nonce && this.#outbox.get(row.nonce);
    switch (act) {
      case 'load-older': return this.#loadOlder(true);
      case 'load-gap': return this.#try('Not loaded.', this.#pager.loadGap(row));
      case 'menu': {
        const { left, bottom } = acting.querySelector('.bubble').getBoundingClientRect();
        return this.#openMenu(row, { x: left, y: bottom + 4 });
      }
      case 'retry': return entry && this.#retry(entry);
      case 'take-back':
      case 'discard': return entry && this.#giveUp(entry, act === 'take-back');
      default: return this.#choose(act, row, acting.dataset.emoji);
    }
  }

  #openMenu(row, at) {
    this.#hover.hide();
    this.#menu.open(row, at);
  }

  // Who found out needs no hint any more.
  #onPress() {
    memory.set('pressed', 'yes');
    this.#draw();
  }

  #retry(entry) {
    this.#outbox.retry(entry);
    if (this.#live) this.#transmit(entry);
    this.#composer.focus();
    this.#draw();
  }

  #giveUp(entry, takeBack) {
    this.#outbox.remove(entry.nonce);
    if (entry.echoId !== null) this.#room.drop(entry.echoId);
    if (takeBack) this.#composer.takeBack(entry.text, this.#room.get(entry.replyTo));
    else this.#composer.focus();
    this.#draw();
  }

  // The emoji we reacted with. What the server says by name holds; where it gave only a number, memory.
  #mine = ({ id, reactions }) => reactions.map(({ emoji }) => emoji)
    .filter((emoji, i) => reactions[i].names.includes(this.#name) || this.#reacted.has(this.#reactionKey(id, emoji)))
    .join('\n');

  #reactionKey(id, emoji) {
    return `${id} ${emoji} ${this.#name}`;
  }

  async #react(message, emoji) {
    const now = this.#room.get(message.id);
    if (!now || !emoji) return;
    const on = !this.#mine(now).split('\n').includes(emoji);
    const key = this.#reactionKey(message.id, emoji);
    const change = { type: on ? 'react' : 'unreact', id: message.id, emoji };
    if (!(await this.#try('That did not work.', this.#request(change)))) return;
    if (on) this.#reacted.add(key);
    else this.#reacted.delete(key);
    this.#draw();
  }

  #delete(message) {
    this.#ui.confirmDelete.returnValue = '';
    this.#ui.deleteText.textContent = message.text;
    this.#ui.confirmDelete.showModal();
    this.#ui.confirmDelete.onclose = () => {
      if (this.#ui.confirmDelete.returnValue !== 'delete') return;
      this.#try('Not deleted.', this.#request({ type: 'delete', id: message.id }));
    };
  }

  async #copy(text) {
    const copied = await copyText(text);
    this.#composer.notice(copied ? '' : 'Copying is not allowed here.');
    if (copied) this.#status.toast('Text copied');
  }

  async #jumpTo(id) {
    const room = this.#room;
    const found = await this.#try('That message could not be loaded.', this.#pager.find(id));
    if (found === null || room !== this.#room) return;
    this.#composer.notice(found ? '' : 'That message is no longer there.');
    if (!found) return;
    this.#drawNow();
    this.#log.reveal(id);
  }

  // -- Reading on

  // asked: by a person, so that a failure before does not count.
  #loadOlder(asked = false) {
    if (!this.#live || (this.#pager.older !== 'more' && !(asked && this.#pager.older === 'failed'))) return;
    this.#pager.loadOlder();
  }

  #onPage() {
    this.#hush = true;
    this.#draw();
  }

  #mark(match) {
    this.#match = match;
    this.#log.highlight(match);
  }

  // -- Drawing

  #draw() {
    if (this.#drawPlanned) return;
    this.#drawPlanned = true;
    requestAnimationFrame(() => {
      this.#drawPlanned = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    if (!this.#session) return;
    const { older, loading } = this.#pager;
    const rows = rowsOf({
      room: this.#room, entries: this.#outbox.all(), name: this.#name, older, loading, mine: this.#mine,
    });
    this.#log.render(rows, { hush: this.#hush, unread: this.#room.unread, empty: this.#live });
    this.#ui.emptyQuiet.hidden = this.#room.anew;
    this.#ui.emptyAnew.hidden = !this.#room.anew;
    this.#ui.touchHint.hidden = this.#room.messages.length === 0 || memory.get('pressed') !== '';
    this.#hover.follow();
    this.#hush = false;
    if (this.#match) this.#log.highlight(this.#match);
    this.#side.refresh();
    if (this.#log.nearTop) this.#loadOlder();
  }
}
