// What may be typed, held against the server's rules before it is sent: "that name is too long: 70 of 64
// bytes" beside the field beats a refusal afterwards. Pure. The server checks everything again.

export const ROOM_MAX_BYTES = 128;
export const NAME_MAX_BYTES = 64;
export const MESSAGE_MAX_BYTES = 16 * 1024;
export const FRAME_MAX_BYTES = 64 * 1024;

const encoder = new TextEncoder();
const number = new Intl.NumberFormat();
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const LONE_SURROGATE = /\p{Surrogate}/gu;

/** @param {string} text */
export const byteLength = (text) => encoder.encode(text).length;

/**
 * The server replaces lone surrogates too; doing it here keeps our copy equal to the echo.
 * @param {string} text
 */
export const wellFormed = (text) => text.replace(LONE_SURROGATE, "\ufffd");

/** @param {string} text @param {number} max in bytes */
function lengthProblem(text, max) {
  const bytes = byteLength(text);
  return bytes > max ? `Too long: ${bytes} of at most ${max} bytes. Please shorten it.` : "";
}

// Each of the three returns what is wrong, for people to read, or "" where nothing is.

/** @param {string} room */
export function roomProblem(room) {
  if (room === "") return "Which room? Any name will do, for example “lobby”.";
  if (room.includes("/")) return "A room name cannot contain “/”.";
  if (room === "." || room === "..") return "A room name cannot be just dots. Please add a letter.";
  if (CONTROL.test(room)) return "A room name cannot contain tabs, line breaks or control characters.";
  return lengthProblem(room, ROOM_MAX_BYTES);
}

/** @param {string} name */
export function nameProblem(name) {
  if (name === "") return "The others need something to call you.";
  if (name === "system") return "The name “system” belongs to the server. Please take another.";
  if (CONTROL.test(name)) return "A name cannot contain tabs, line breaks or control characters.";
  return lengthProblem(name, NAME_MAX_BYTES);
}

/**
 * How a message stands with the limit: {bytes, left} in bytes, and how many characters have to go from its end.
 * @param {string} text
 * @param {number} maxBytes as the server said on entering; 0 means no limit
 */
export function messageRoom(text, maxBytes = MESSAGE_MAX_BYTES) {
  const bytes = byteLength(text);
  const left = maxBytes === 0 ? Infinity : maxBytes - bytes;
  let excess = 0;
  let end = text.length;
  for (let over = -left; over > 0; excess++) {
    const code = text.charCodeAt(end - 1);
    const pair = code >= 0xdc00 && code < 0xe000 && /[\ud800-\udbff]/.test(text[end - 2] ?? "");
    over -= pair ? 4 : code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
    end -= pair ? 2 : 1;
  }
  return { bytes, left, excess };
}

/** @param {string} text @param {number} maxBytes */
export function messageProblem(text, maxBytes = MESSAGE_MAX_BYTES) {
  const { bytes, excess } = messageRoom(text, maxBytes);
  if (excess === 0) return "";
  const characters = excess === 1 ? "1 character" : `${number.format(excess)} characters`;
  const exact = `${number.format(bytes)} of at most ${number.format(maxBytes)} bytes`;
  return `Not sent: ${characters} too long (${exact}). Your text is still here.`;
}

/**
 * Whether one may say something in a room with this right there. What is not known is tried: the server decides.
 * @param {string} right
 */
export const mayWrite = (right) => right !== "none" && right !== "read";

/**
 * An invite link pasted into the room field means the room it leads to.
 * @param {string} input
 */
export function roomFromInput(input) {
  const text = wellFormed(input.trim());
  if (!/^https?:\/\//i.test(text)) return text;
  try {
    return new URL(text).searchParams.get("room") ?? text;
  } catch {
    return text;
  }
}
