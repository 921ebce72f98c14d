// Whether somebody in a room has a name already, asked at the door. Only those who are in a room may ask
// who is there, so this is a connection of its own, for a moment, under the name in question.
//
// It is a courtesy, not a lock: whoever enters in the same instant, or is beyond the names that the server
// lists, is not seen. And where there is no answer soon, there is nothing to say: the room itself will
// tell what is wrong with the connection.

import { socketAddress } from "../client/address.js";
import { parseFrame } from "../client/frames.js";
import { NAME_MAX_BYTES, byteLength } from "./rules.js";

const ANSWER_TIMEOUT_MS = 3000;
const AGAIN_MS = 400; // a connection of ours that has just ended may still be counted
const SUGGESTIONS_MAX = 200; // as many as names are listed, so one of them is free

// Names that differ only in case, or in how their letters are encoded, look the same.
/** @param {string} name */
const looksOf = (name) => name.normalize("NFKC").toLowerCase();

/**
 * Resolves with "" if nobody else in the room has the name, or nothing is known; else with another
 * that nobody has.
 * @param {string} base the server's address
 * @param {string} room
 * @param {string} name
 * @returns {Promise<string>}
 */
export function freeNameFor(base, room, name) {
  return new Promise((resolve) => {
    const socket = new WebSocket(socketAddress(base, room, { username: name, history: 0 }), "parlor.v1");
    let asked = 0;
    let found = "";
    const ask = () => {
      asked += 1;
      socket.send(JSON.stringify({ type: "who", ref: asked }));
    };
    const finish = () => {
      clearTimeout(timer);
      socket.close();
      resolve(found);
    };
    const timer = setTimeout(finish, ANSWER_TIMEOUT_MS);
    socket.onmessage = ({ data }) => {
      const frame = parseFrame(data, Date.now());
      if (frame?.type === "joined") ask();
      else if (frame?.type === "members" && frame.ref === asked) {
        found = suggestion(name, frame.names);
        if (found !== "" && asked === 1) setTimeout(() => socket.readyState === WebSocket.OPEN && ask(), AGAIN_MS);
        else socket.close(); // once it is closed, it is not counted any more
      }
    };
    socket.onclose = finish;
  });
}

/**
 * Returns "" or a name that is free.
 * @param {string} name
 * @param {string[]} names of the members, the one who asks among them
 */
export function suggestion(name, names) {
  const taken = names.map(looksOf);
  if (taken.filter((one) => one === looksOf(name)).length < 2) return "";
  for (let n = 2; n < SUGGESTIONS_MAX + 2; n++) {
    const other = `${shortened(name, ` ${n}`)} ${n}`;
    if (!taken.includes(looksOf(other))) return other;
  }
  return "";
}

/** @param {string} name @param {string} suffix */
function shortened(name, suffix) {
  let chars = Array.from(name);
  while (byteLength(chars.join("") + suffix) > NAME_MAX_BYTES) chars = chars.slice(0, -1);
  return chars.join("").trimEnd();
}
