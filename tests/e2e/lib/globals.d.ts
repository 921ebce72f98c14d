// What tests find in a page: the client of the seed, and what they themselves left in the window.
declare const ws: WebSocket;

interface Window {
  [left: string]: any;
}
