// The page: which screen shows, the address, the title.
//
//   view/    what one sees; knows model and client
//     door.js      which room, which name        chat.js    the screen of a room: brings these together
//     log.js -> article.js, lines.js, settle.js  the log    text.js   how names, times, links look
//     actions.js -> menu.js, hover.js            what can be done with a message
//     composer.js, side.js, status.js, highlight.js         the rest of what one sees
//     dom.js       finding and making elements   location.js  where the page is
//   model/   what is so, without a document; knows client
//     conversation.js                            being in a room: brings these together
//     room.js -> messages.js, gaps.js            what is known of it         rows.js  as a list of rows
//     sender.js    what is said                  read_marker.js   up to where was read
//     people.js -> presence.js                   who is here, who is typing
//     ours.js, guest_key.js, memory.js           what browser and tab remember
//     rules.js     what may be typed             lookup.js  who has a name   search.js  what was said
//   client/  what talks with the server; knows neither, and no document
//     connection.js  the socket and coming back  session.js the protocol: asking and being answered
//     frames.js, types.js                        what the server may say     address.js  where it is
//     outbox.js    ours until acknowledged       pager.js   fetching history
//
// A tab that has entered keeps its name: a reload, back and forward lead straight in. A new tab asks, also
// with an invite link, and proposes the name that this browser used last.

import { drafts, memory, tabMemory } from "./model/memory.js";
import * as rules from "./model/rules.js";
import { Chat } from "./view/chat.js";
import { copyText, elementsById } from "./view/dom.js";
import { Door } from "./view/door.js";
import { pageAddress, roomInAddress } from "./view/location.js";

const ui = elementsById();

const chat = new Chat(ui, { onUnread: updateTitle });
const door = new Door(ui, { onEnter, isMine: (name) => chat.hasClaimed(name) });
/** @type {string | null} */
let inRoom = null; // the room's name

function updateTitle(unread = 0) {
  const count = unread > 0 ? `(${unread}) ` : "";
  const title = inRoom === null ? "Parlor" : `${count}${inRoom} · Parlor`;
  if (document.title !== title) document.title = title;
}

/** @param {{room: string, problem?: string}} what */
function showDoor(what) {
  ui.chatScreen.hidden = true;
  updateTitle();
  door.show(what);
}

/**
 * @param {{room: string, name: string, claim: boolean}} wanted claim: the person says that whoever has the name
 *   already is they as well
 */
function onEnter({ room, name, claim }) {
  memory.set("name", name);
  tabMemory.set("name", name);
  if (claim) chat.claim(name);
  if (roomInAddress() !== room) history.pushState(null, "", pageAddress(room));
  enter(room, name);
}

/** @param {string} room @param {string} name */
function enter(room, name) {
  leave();
  memory.set("room", room);
  inRoom = room;
  door.hide();
  ui.chatScreen.hidden = false;
  updateTitle();
  chat.enter({ room, name, draft: drafts.get(room) });
}

function leave() {
  if (inRoom === null) return;
  keepDraft();
  chat.leave();
  inRoom = null;
}

// Also on a reload, and before a phone throws a hidden tab away.
function keepDraft() {
  if (inRoom !== null) drafts.set(inRoom, chat.draft);
}

// Makes the screen agree with the address: on load, and on back and forward.
function followAddress() {
  leave();
  const room = roomInAddress();
  const name = tabMemory.get("name");
  if (room === null) return showDoor({ room: memory.get("room") });
  const problem = rules.roomProblem(room);
  if (problem || rules.nameProblem(name)) return showDoor({ room, problem });
  enter(room, name);
}

function leaveForDoor() {
  const room = inRoom ?? "";
  leave();
  history.pushState(null, "", pageAddress(null));
  showDoor({ room });
}

function onLeave() {
  const open = chat.unconfirmed;
  if (open === 0) return leaveForDoor();
  const what = open === 1 ? "One message has" : `${open} messages have`;
  ui.confirmText.textContent =
    `${what} not been confirmed by the server. The text waits here until this tab is closed.`;
  ui.confirmLeave.returnValue = "";
  ui.confirmLeave.showModal();
}

async function onCopyLink() {
  const link = pageAddress(inRoom);
  const label = /** @type {HTMLElement} */ (ui.copyLink.querySelector(".label"));
  if (!(await copyText(link))) return chat.notice(`The link to this room: ${link}`);
  chat.announce("Invite link copied");
  label.textContent = "Link copied";
  ui.copyLink.classList.add("done");
  setTimeout(() => {
    label.textContent = "Copy invite link";
    ui.copyLink.classList.remove("done");
  }, 2000);
}

// iOS lays its keyboard over the page instead of shrinking it; only the visual viewport knows.
function fitViewport() {
  const { height, scale } = /** @type {VisualViewport} */ (window.visualViewport);
  if (scale > 1.01) return; // zoomed in: the layout is not to change under the reader
  document.documentElement.style.setProperty("--viewport", `${Math.round(height)}px`);
  if (inRoom !== null) scrollTo(0, 0);
}

for (const dialog of document.querySelectorAll("dialog")) {
  for (const choice of dialog.querySelectorAll("button[value]")) {
    choice.addEventListener("click", () => dialog.close(choice.getAttribute("value") ?? ""));
  }
}
ui.leave.addEventListener("click", onLeave);
ui.confirmLeave.addEventListener("close", () => ui.confirmLeave.returnValue === "leave" && leaveForDoor());
ui.copyLink.addEventListener("click", onCopyLink);
window.visualViewport?.addEventListener("resize", fitViewport);
addEventListener("popstate", () => {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  followAddress();
});
for (const type of ["pagehide", "visibilitychange"]) addEventListener(type, keepDraft);
addEventListener("beforeunload", (event) => {
  if (chat.unconfirmed > 0) event.preventDefault();
});

followAddress();
