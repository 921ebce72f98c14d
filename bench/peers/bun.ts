// The chat on Bun's own server and its native publish/subscribe: bun bun.ts PORT
// Fair to it: production mode, no compression, room for back-pressure so that nothing is dropped.
declare const Bun: any;

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  development: false,
  fetch(request: Request, server: any) {
    const room = request.url.split("/")[5];
    if (room && server.upgrade(request, { data: room })) return undefined;
    return new Response("not found", { status: 404 });
  },
  websocket: {
    perMessageDeflate: false,
    backpressureLimit: 16 * 1024 * 1024,
    open(socket: any) {
      socket.subscribe(socket.data);
    },
    message(socket: any, text: string) {
      const { message, username } = JSON.parse(text);
      server.publish(socket.data, JSON.stringify({ message, username }));
    },
  },
});
