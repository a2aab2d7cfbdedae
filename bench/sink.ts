// What can the client and the loopback do at most? A server that keeps nothing: it counts the bytes
// of a PUT and throws them away, answers a GET with bytes from memory, and nothing else.

import { createServer, type Socket } from "node:net";

const MiB = 1024 * 1024;
const filler = Buffer.alloc(MiB, "x");
const created = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

function serve(socket: Socket): void {
  let head = "";
  let bodyLeft = 0;
  const send = (left: number): void => {
    if (left === 0) return;
    const piece = left < filler.length ? filler.subarray(0, left) : filler;
    socket.write(piece, () => send(left - piece.length));
  };
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    if (bodyLeft > 0) {
      bodyLeft -= chunk.length;
      if (bodyLeft === 0) socket.write(created);
      return;
    }
    const before = head.length;
    head += chunk.toString("latin1");
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    // The path of a GET says how many bytes are wanted.
    const wanted = /^GET \/(\d+)/.exec(head)?.[1];
    bodyLeft = length - (chunk.length - (end + 4 - before));
    head = "";
    if (wanted !== undefined) {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${wanted}\r\n\r\n`);
      send(Number(wanted));
    } else if (bodyLeft === 0) {
      socket.write(created);
    }
  });
}

const server = createServer({ noDelay: true }, serve);
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  process.stdout.write(`listening on http://127.0.0.1:${address.port}\n`);
});
