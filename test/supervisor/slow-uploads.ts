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
/** Until they are taken: more than 64 a slow server may refuse. */
const atOnce = 50;

/** Resolves when a worker has begun to take each of them. */
export async function slowUploads(
  { url, line = () => "POST /echo", headers = "" }: Target,
  count: number,
) {
  const { hostname, port } = new URL(url);
  const begin = async (index: number) => {
    const socket = connect(Number(port), hostname);
    socket.on("error", () => {});
    let text = "";
    socket.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    const closed = new Promise((done) => socket.once("close", done));
    const head = [`${line(index)} HTTP/1.1`, "Host: a", `Content-Length: ${2 * half}`];
    socket.write(`${head.join("\r\n")}\r\n${headers}Expect: 100-continue\r\n\r\n`);
    await eventually("a worker has it", () => text.includes("100 Continue"));
    text = "";
    socket.write("01234");
    const end = async (): Promise<string> => {
      socket.write("56789");
      const answered = () => /HTTP\/1.1 \d+/.test(text) || socket.destroyed;
      await eventually("it is answered", answered);
      socket.end();
      await closed;
      return /HTTP\/1.1 (\d+)/.exec(text)?.[1] ?? "";
    };
    return { end };
  };
  const uploads: Awaited<ReturnType<typeof begin>>[] = [];
  while (uploads.length < count) {
    const more = Math.min(atOnce, count - uploads.length);
    const indices = Array.from({ length: more }, (_, offset) => uploads.length + offset);
    uploads.push(...(await Promise.all(indices.map(begin))));
  }
  const finish = () => Promise.all(uploads.map(({ end }) => end()));
  return { finish };
}
