// The chat on Node with the `ws` package: node ws.mjs PORT
// Fair to it: production mode, no compression, each message serialized once for all members.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const rooms = new Map();
const server = createServer((_request, response) => response.writeHead(404).end());
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false });

sockets.on("connection", (socket, request) => {
  const name = request.url.split("/")[3];
  let room = rooms.get(name);
  if (!room) rooms.set(name, (room = new Set()));
  room.add(socket);
  socket.on("message", (data) => {
    const { message, username } = JSON.parse(data.toString());
    const out = Buffer.from(JSON.stringify({ message, username }));
    for (const member of room) member.send(out, { binary: false });
  });
  socket.on("error", () => socket.terminate());
  socket.on("close", () => {
    room.delete(socket);
    if (room.size === 0) rooms.delete(name);
  });
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
