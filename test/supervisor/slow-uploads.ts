import { connect } from "node:net";
import { eventually, type Tiny } from "./tiny.ts";

/** Uploads whose end is still to come. */
export async function slowUploads(tiny: Tiny, count: number) {
  const { hostname, port } = new URL(tiny.url);
  const sockets = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect(Number(port), hostname);
      socket.on("error", () => {});
      let text = "";
      socket.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      const closed = new Promise((done) => socket.once("close", done));
      await new Promise<void>((done) => socket.once("connect", () => done()));
      const head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
      socket.write(head);
      await eventually("a worker has it", () => text.includes("100 Continue"));
      text = "";
      socket.write("01234");
      const end = async (): Promise<string> => {
        socket.write("56789");
        await eventually("it is answered", () => text.includes("}") || socket.destroyed);
        socket.end();
        await closed;
        return /HTTP\/1.1 (\d+)/.exec(text)?.[1] ?? "";
      };
      return { end };
    }),
  );
  const finish = () => Promise.all(sockets.map(({ end }) => end()));
  return { finish };
}
