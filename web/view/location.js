// Where the page is. Everything is relative to its own address, so that a proxy may put it below any path,
// as in https://example.org/chat/.
//
// The address is the state: ?room=<name> is that room, without it is the door.

// The server's address, too.
export const here = () => new URL(".", location.href).href;

export const roomInAddress = () => new URLSearchParams(location.search).get("room");

/**
 * The page's address for a room; null: for the door.
 * @param {string | null} room
 */
export function pageAddress(room) {
  const address = new URL(here());
  if (room !== null) address.search = `?room=${encodeURIComponent(room)}`;
  return address.href;
}
