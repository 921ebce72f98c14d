// What may be said and what may be believed.
//
// Two kinds of checks live here, both pure, so that nothing else on the page has to doubt its input:
// * what a person types (room, name, message) is held against the server's rules before it is sent,
//   because "that name is too long: 70 of 64 bytes" beside the field beats a refusal afterwards;
// * what the socket delivers is hostile. `data` comes from other clients unread by the server, so its
//   shape is proved, never assumed. After parseFrame() only known keys of known types exist.

export const ROOM_MAX_BYTES = 128;
export const NAME_MAX_BYTES = 64;
export const MESSAGE_MAX_BYTES = 16 * 1024;
export const FRAME_MAX_BYTES = 64 * 1024;
const CLIENT_ID_MAX_CHARS = 64;

const encoder = new TextEncoder();
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const LONE_SURROGATE = /\p{Surrogate}/gu;

export const byteLength = (text) => encoder.encode(text).length;

// The server replaces lone surrogates too; doing it here keeps our copy equal to the echo.
export const wellFormed = (text) => text.replace(LONE_SURROGATE, '\ufffd');

function lengthProblem(text, max) {
  const bytes = byteLength(text);
  return bytes > max ? `Too long: ${bytes} of at most ${max} bytes. Please shorten it.` : '';
}

// Each of the three returns what is wrong, for people to read, or '' where nothing is.

export function roomProblem(room) {
  if (room === '') return 'Which room? Any name will do, for example “lobby”.';
  if (room.includes('/')) return 'A room name cannot contain “/”.';
  if (room === '.' || room === '..') return 'A room name cannot be just dots. Please add a letter.';
  if (CONTROL.test(room)) return 'A room name cannot contain tabs, line breaks or control characters.';
  return lengthProblem(room, ROOM_MAX_BYTES);
}

export function nameProblem(name) {
  if (name === '') return 'The others need something to call you.';
  if (name === 'system') return 'The name “system” belongs to the server. Please take another.';
  if (CONTROL.test(name)) return 'A name cannot contain tabs, line breaks or control characters.';
  return lengthProblem(name, NAME_MAX_BYTES);
}

export function messageProblem(text) {
  const bytes = byteLength(text);
  if (bytes <= MESSAGE_MAX_BYTES) return '';
  const kib = (bytes / 1024).toFixed(1);
  return `Too long to send: ${kib} of at most 16 KiB. Your text is still here; please split it.`;
}

// An invite link pasted into the room field means the room it leads to.
export function roomFromInput(input) {
  const text = wellFormed(input.trim());
  if (!/^https?:\/\//i.test(text)) return text;
  try {
    return new URL(text).searchParams.get('room') ?? text;
  } catch {
    return text;
  }
}

function originOf(data) {
  if (typeof data !== 'object' || data === null) return null;
  const { client, n } = data;
  if (typeof client !== 'string' || client.length > CLIENT_ID_MAX_CHARS) return null;
  return Number.isSafeInteger(n) ? { client, n } : null;
}

// One text frame of the server as {kind: 'message' | 'refusal', ...}, or null for what this page does
// not know: a later server may send more, and unknown is no reason to break.
export function parseFrame(text, nowMs) {
  let frame;
  try {
    frame = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof frame !== 'object' || frame === null) return null;
  const { type, id, ts, message, username, error } = frame;
  if (typeof message !== 'string' || typeof username !== 'string') return null;
  if (username === 'system' && typeof error === 'object' && error !== null) {
    return { kind: 'refusal', text: message, code: typeof error.code === 'string' ? error.code : '' };
  }
  if (type !== undefined && type !== 'message') return null;
  return {
    kind: 'message',
    id: typeof id === 'string' ? id : null,
    // Dates end at 8.64e15 ms; a stamp outside would make every formatter throw.
    ts: Number.isFinite(ts) && Math.abs(ts) < 8e15 ? ts : nowMs,
    username,
    text: message,
    origin: originOf(frame.data),
  };
}
