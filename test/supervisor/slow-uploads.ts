// Uploads whose second half is still to come, each on a connection of its own.
import { connect } from "node:net";
import { eventually } from "./tiny.ts";

interface Target {
  readonly url: string;
  /** Of the upload with this index. */
  readonly line?: (index: number) => string;
  readonly headers?: string;
}

const half = 5;

/** Resolves when a worker has begun to take each of them. */
export async function slowUploads(
  { url, line = () => "POST /echo", headers = "" }: Target,
  count: number,
) {
  const { hostname, port } = new URL(url);
  const uploads = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const socket = connect(Number(port), hostname);
      socket.on("error", () => {});
      let text = "";
      socket.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      const closed = new Promise((done) => socket.once("close", done));
      const head = [`${line(index)} HTTP/1.1`, "Host: a", `Content-Length: ${2 * half}`];
      socket.write(`${head.join("\r\n")}\r\n${headers}Expect: 100-continue\r\n\r\n`);
      await eventually("a worker has it", () => text.includes("100 Continue"), 30_000);
      text = "";
      socket.write("01234");
      const end = async (): Promise<string> => {
        socket.write("56789");
        const answered = () => /HTTP\/1.1 \d+/.test(text) || socket.destroyed;
        await eventually("it is answered", answered, 30_000);
        socket.end();
        await closed;
        return /HTTP\/1.1 (\d+)/.exec(text)?.[1] ?? "";
      };
      return { end };
    }),
  );
  const finish = () => Promise.all(uploads.map(({ end }) => end()));
  return { finish };
}
