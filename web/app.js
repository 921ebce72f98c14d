// The page: which screen shows, and what the parts tell each other.
//
//   rules.js       what may be typed, what may be believed
//   connection.js  the socket and coming back
//   outbox.js      our own messages until they are confirmed
//   view.js        the log          text.js  how names, times and links look
//
// The address is the state: /?room=<name> is that room, / is the door. Room and name are remembered in
// localStorage, so an invite link opened by someone known here leads straight in.

import { Connection } from './connection.js';
import { Outbox } from './outbox.js';
import * as rules from './rules.js';
import { LogView } from './view.js';

// Every element of the page that has an id, as ui.camelCase.
const camelCase = (id) => id.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());
const ui = Object.fromEntries(Array.from(document.querySelectorAll('[id]'), (el) => [camelCase(el.id), el]));
const log = new LogView({ log: ui.log, empty: ui.empty, jump: ui.newMessages });

const ECHO_TIMEOUT_MS = 15000;
const GAP_WORTH_MS = 60000;

// This tab, to recognise its own messages. Not randomUUID(): that one needs https or localhost.
const clientId = crypto.getRandomValues(new Uint32Array(3)).join('-');

// Storage may be forbidden; then the page forgets, and works.
const memory = {
  get(key) {
    try {
      return localStorage.getItem(`parlor.${key}`) ?? '';
    } catch {
      return '';
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`parlor.${key}`, value);
    } catch { /* forgotten on reload */ }
  },
};

// What is true while we are in a room; null at the door.
let session = null;
let unread = 0;
// Room -> what was being written there, or was not confirmed, when we left it in this tab.
const drafts = new Map();

// -- The door

const roomInAddress = () => new URLSearchParams(location.search).get('room');
const addressOf = (room) => `/?room=${encodeURIComponent(room)}`;

function showProblem(input, output, problem) {
  output.textContent = problem;
  input.setAttribute('aria-invalid', problem !== '');
  return problem !== '';
}

function showDoor({ room, problem = '' }) {
  ui.chatScreen.hidden = true;
  ui.enterScreen.hidden = false;
  ui.room.value = room;
  ui.name.value = memory.get('name');
  showProblem(ui.room, ui.roomError, problem);
  showProblem(ui.name, ui.nameError, '');
  updateTitle();
  (room === '' || problem ? ui.room : ui.name).focus();
}

function onEnter(event) {
  event.preventDefault();
  const room = rules.roomFromInput(ui.room.value);
  const name = rules.wellFormed(ui.name.value.trim());
  const badName = showProblem(ui.name, ui.nameError, rules.nameProblem(name));
  const badRoom = showProblem(ui.room, ui.roomError, rules.roomProblem(room));
  if (badRoom || badName) {
    (badRoom ? ui.room : ui.name).focus();
    return;
  }
  memory.set('name', name);
  memory.set('room', room);
  if (roomInAddress() !== room) history.pushState(null, '', addressOf(room));
  join(room, name);
}

// Makes the screen agree with the address: on load, and on back and forward.
function followAddress() {
  leaveSession();
  const room = roomInAddress();
  const name = memory.get('name');
  if (room === null) return showDoor({ room: memory.get('room') });
  const problem = rules.roomProblem(room);
  if (problem || rules.nameProblem(name)) return showDoor({ room, problem });
  memory.set('room', room);
  join(room, name);
}

// -- Being in a room

function socketUrl(room) {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return `${scheme}//${location.host}/ws/chat/${encodeURIComponent(room)}/?fields=full`;
}

function join(room, name) {
  leaveSession();
  ui.enterScreen.hidden = true;
  ui.chatScreen.hidden = false;
  ui.roomName.textContent = room;
  ui.message.placeholder = `Message as ${name}`;
  ui.message.value = drafts.get(room) ?? '';
  composerNotice('');
  growComposer();
  log.clear();
  const connection = new Connection(socketUrl(room), { onState, onText });
  const timer = setInterval(onTick, 500);
  session = { room, name, connection, timer, outbox: new Outbox(), state: null, lostAtMs: 0, wasIn: false };
  updateTitle();
  connection.start();
  ui.message.focus();
}

function leaveSession() {
  if (!session) return;
  const { connection, timer, room, outbox } = session;
  drafts.set(room, [...outbox.texts(), ui.message.value].join('\n').trim());
  session = null;
  clearInterval(timer);
  connection.stop();
  unread = 0;
}

function leaveRoom() {
  ui.confirmLeave.close();
  const { room } = session;
  leaveSession();
  history.pushState(null, '', '/');
  showDoor({ room });
}

function onLeave() {
  const open = session.outbox.size;
  if (open === 0) return leaveRoom();
  const what = open === 1 ? 'One message has' : `${open} messages have`;
  ui.confirmText.textContent = `${what} not been confirmed by the server. The text waits here until this tab is closed.`;
  ui.confirmLeave.showModal();
}

// -- Connection

const seconds = (ms) => Math.max(1, Math.ceil(ms / 1000));

const FINAL_REASONS = {
  4001: 'This room asks for a sign-in that is missing or not valid.',
  4003: 'You are not allowed in this room.',
  4006: 'You have been banned from this room.',
  4007: 'You were asked to leave this room.',
  4009: 'Your access to this room has been withdrawn.',
};
const WAIT_REASONS = {
  1008: 'The server refused too many messages in a row.',
  1012: 'The server is restarting.',
  1013: 'The server is busy.',
  4100: 'The server is full.',
  4102: 'The room is full.',
  4202: 'This connection was too slow for the room.',
};

function statusText(state) {
  switch (state.name) {
    case 'connecting': return session.lostAtMs ? 'Reconnecting…' : 'Connecting…';
    case 'connected': return 'Connected';
    case 'refused': return `Refused: ${state.reason || FINAL_REASONS[state.code] || `code ${state.code}`}`;
    case 'waiting': {
      const left = seconds(state.untilMs - performance.now());
      return `${state.offline ? 'Offline, trying again' : 'Reconnecting'} in ${left} s`;
    }
    default: return '';
  }
}

function bannerText(state) {
  if (state.name === 'refused') {
    const said = state.reason ? ` The server says: ${state.reason}` : '';
    return `${FINAL_REASONS[state.code] ?? 'The server closed the door.'}${said}`;
  }
  if (state.offline) return 'This device is offline. What you write is sent when it is back.';
  const said = state.reason ? `The connection ended: ${state.reason}.` : 'The connection was lost.';
  return `${WAIT_REASONS[state.code] ?? said} What you write is sent when it is back.`;
}

function showState() {
  const { state } = session;
  const text = statusText(state);
  if (ui.status.textContent !== text) ui.status.textContent = text;
  ui.stateDot.dataset.state = state.name;
}

function showBanner(state) {
  // While an attempt runs the banner stays as it is: a flicker tells nobody anything.
  if (state.name === 'connecting' && session.lostAtMs) return;
  const visible = state.name === 'waiting' || state.name === 'refused';
  if (!visible && document.activeElement === ui.retry) ui.message.focus();
  ui.banner.hidden = !visible;
  ui.banner.classList.toggle('final', state.name === 'refused');
  if (!visible) return;
  const text = bannerText(state);
  if (ui.bannerText.textContent !== text) announce(text);
  ui.bannerText.textContent = text;
  ui.retry.textContent = state.name === 'refused' ? 'Try again' : 'Try now';
}

function onState(state) {
  if (!session) return;
  session.state = state;
  if (state.name === 'waiting' || state.name === 'refused') onLost();
  if (state.name === 'connected') onConnected();
  showBanner(state);
  showState();
}

function onLost() {
  session.lostAtMs ||= Date.now();
  for (const entry of session.outbox.connectionLost()) showFailure(entry);
  if (session.state.name !== 'refused') return;
  for (const entry of session.outbox.giveUp()) showFailure(entry);
}

function onConnected() {
  if (session.wasIn && session.lostAtMs) {
    const ms = Date.now() - session.lostAtMs;
    const gap = ms < GAP_WORTH_MS ? `${seconds(ms)} s` : `${Math.round(ms / 60000)} min`;
    log.notice(`Connected again after ${gap}. Messages sent by others in between may be missing here.`, 'gap');
  }
  announce('Connected');
  session.lostAtMs = 0;
  session.wasIn = true;
  ui.bannerText.textContent = '';
  for (const entry of session.outbox.waiting()) transmit(entry);
}

function onTick() {
  showState();
  const [oldest] = session.outbox.inFlight();
  if (oldest && performance.now() - oldest.sentAtMs > ECHO_TIMEOUT_MS) {
    session.connection.suspect('no answer');
  }
}

// -- Receiving

function onText(text) {
  if (!session) return;
  const frame = rules.parseFrame(text, Date.now());
  if (frame?.kind === 'refusal') onRefusal(frame);
  if (frame?.kind === 'message') onMessage(frame);
}

function onMessage(message) {
  const { origin, text } = message;
  const echo = origin?.client === clientId ? session.outbox.confirm(origin.n, text) : null;
  if (echo) {
    log.confirm(origin.n, message);
    echo.refused.forEach(showRefusal);
    return;
  }
  if (document.hidden && unread === 0) log.markUnread();
  if (!log.addMessage(message)) return;
  if (document.hidden) {
    unread += 1;
    updateTitle();
  }
}

function onRefusal({ text }) {
  if (session.outbox.inFlight().length === 0) composerNotice(text);
  session.outbox.refuse(text).forEach(showRefusal);
}

// A refused text goes back to where it can be changed, unless something new is being written there.
function showRefusal(entry) {
  if (ui.message.value !== '') return showFailure(entry);
  takeBack(entry);
  composerNotice(entry.reason);
}

function showFailure(entry) {
  const reason = entry.reason || 'Not confirmed: the connection was lost. It may not have arrived.';
  log.fail(entry.n, reason, [
    ['Send again', () => sendAgain(entry)],
    ['Edit', () => takeBack(entry)],
    ['Discard', () => discard(entry)],
  ]);
}

function discard(entry) {
  session.outbox.remove(entry.n);
  log.discard(entry.n);
  ui.message.focus();
}

function takeBack(entry) {
  discard(entry);
  const draft = ui.message.value;
  ui.message.value = draft === '' ? entry.text : `${draft}\n${entry.text}`;
  growComposer();
}

function sendAgain(entry) {
  discard(entry);
  say(entry.text);
}

// -- Sending

const encode = (entry) =>
  JSON.stringify({ message: entry.text, username: session.name, data: { client: clientId, n: entry.n } });

function say(text) {
  const entry = session.outbox.add(text);
  log.addPending({ n: entry.n, text, username: session.name, ts: Date.now() });
  if (session.state.name === 'connected') transmit(entry);
}

function transmit(entry) {
  if (session.connection.send(encode(entry))) session.outbox.markSent(entry, performance.now());
}

function onSend() {
  const text = rules.wellFormed(ui.message.value);
  if (text.trim() === '') return;
  let problem = rules.messageProblem(text);
  if (!problem && rules.byteLength(encode({ text, n: Number.MAX_SAFE_INTEGER })) > rules.FRAME_MAX_BYTES) {
    problem = 'Too long to send once encoded: it holds many control characters.';
  }
  if (session.state.name === 'refused') problem = 'Not sent: there is no connection. Your text is still here.';
  composerNotice(problem);
  if (problem) return;
  ui.message.value = '';
  growComposer();
  say(text);
  ui.message.focus();
}

function onKey(event) {
  // Enter that accepts a word of an input method (229: Safari reports the end too early) is not ours.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  onSend();
}

// The box is as high as its text, within what app.css allows.
function growComposer() {
  ui.message.style.height = 'auto';
  ui.message.style.height = `${ui.message.scrollHeight}px`;
}

function composerNotice(text) {
  if (ui.composerNotice.textContent !== text) ui.composerNotice.textContent = text;
}

// -- Around it

const announce = (text) => { ui.announcer.textContent = text; };

function updateTitle() {
  const count = unread > 0 ? `(${unread}) ` : '';
  document.title = session ? `${count}${session.room} · Parlor` : 'Parlor';
}

async function copyText(text) {
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

async function onCopyLink() {
  const link = location.origin + addressOf(session.room);
  const label = ui.copyLink.querySelector('.label');
  if (!(await copyText(link))) return session && log.notice(`The link to this room: ${link}`);
  announce('Invite link copied');
  label.textContent = 'Link copied';
  ui.copyLink.classList.add('done');
  setTimeout(() => {
    label.textContent = 'Copy invite link';
    ui.copyLink.classList.remove('done');
  }, 2000);
}

// iOS lays its keyboard over the page instead of shrinking it; only the visual viewport knows.
function fitViewport() {
  const { height, scale } = window.visualViewport;
  if (scale > 1.01) return; // zoomed in: the layout is not to change under the reader
  document.documentElement.style.setProperty('--viewport', `${Math.round(height)}px`);
  if (session) scrollTo(0, 0);
}

ui.enter.addEventListener('submit', onEnter);
ui.room.addEventListener('input', () => showProblem(ui.room, ui.roomError, ''));
ui.name.addEventListener('input', () => showProblem(ui.name, ui.nameError, ''));
ui.composer.addEventListener('submit', (event) => {
  event.preventDefault();
  onSend();
});
ui.message.addEventListener('keydown', onKey);
ui.message.addEventListener('input', () => {
  growComposer();
  composerNotice('');
});
ui.newMessages.addEventListener('click', () => ui.message.focus());
ui.retry.addEventListener('click', () => session.connection.retryNow());
ui.leave.addEventListener('click', onLeave);
ui.confirmStay.addEventListener('click', () => ui.confirmLeave.close());
ui.confirmGo.addEventListener('click', leaveRoom);
ui.copyLink.addEventListener('click', onCopyLink);
window.visualViewport?.addEventListener('resize', fitViewport);
addEventListener('popstate', () => {
  ui.confirmLeave.close();
  followAddress();
});
addEventListener('beforeunload', (event) => {
  if (session?.outbox.size > 0) event.preventDefault();
});
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  unread = 0;
  updateTitle();
});

followAddress();
