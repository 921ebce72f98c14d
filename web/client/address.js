// Where the server's rooms are: below the address that the server itself has, so that a proxy may put it
// below any path, as in https://example.org/chat/.

/**
 * The WebSocket of a room.
 * @param {string} base the server's address
 * @param {string} room
 * @param {Record<string, string | number>} query
 */
export function socketAddress(base, room, query) {
  const address = new URL(`ws/chat/${encodeURIComponent(room)}/`, base);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const pairs = Object.entries(query).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  address.search = `?${pairs.join("&")}`;
  return address.href;
}
