// The chat on uWebSockets.js and its native publish/subscribe: node uws.mjs PORT
// Fair to it: no compression, room for back-pressure so that nothing is dropped. The package falls
// back to plain JavaScript where its native part does not load; that would not be uWebSockets.
import uws from "@trufflesuite/uws-js-unofficial";

if (!/\[native code\]/.test(Function.prototype.toString.call(uws.App))) {
  console.error("the native part of uWebSockets.js does not load here");
  process.exit(1);
}

const decoder = new TextDecoder();
const app = uws.App();
app.ws("/ws/chat/:room/", {
  compression: uws.DISABLED,
  maxBackpressure: 16 * 1024 * 1024,
  idleTimeout: 120,
  upgrade(response, request, context) {
    response.upgrade(
      { room: request.getParameter(0) },
      request.getHeader("sec-websocket-key"),
      request.getHeader("sec-websocket-protocol"),
      request.getHeader("sec-websocket-extensions"),
      context,
    );
  },
  open(socket) {
    socket.subscribe(socket.room);
  },
  message(socket, data) {
    const { message, username } = JSON.parse(decoder.decode(data));
    app.publish(socket.room, JSON.stringify({ message, username }), false, false);
  },
});
app.listen("127.0.0.1", Number(process.argv[2]), (listening) => {
  if (!listening) process.exit(1);
});
