// Where things are. Everything is relative to the page's own address, so that a proxy may put the page
// below any path, as in https://example.org/chat/.
//
// The address is the state: ?room=<name> is that room, without it is the door.

const here = () => new URL('.', location.href);

export const roomInAddress = () => new URLSearchParams(location.search).get('room');

// The page's address for a room; null: for the door.
export function pageAddress(room) {
  const address = here();
  if (room !== null) address.search = `?room=${encodeURIComponent(room)}`;
  return address.href;
}

// The WebSocket of a room; query: {key: text}.
export function socketAddress(room, query) {
  const address = new URL(`ws/chat/${encodeURIComponent(room)}/`, here());
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  const pairs = Object.entries(query).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  address.search = `?${pairs.join('&')}`;
  return address.href;
}
