/** `roma top` shows a real server, in a real terminal, which it gives back as it was. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { objectPath, send } from "../harness/http-client.ts";
import { mainFile, rootKey, type ServerProcess, startServer } from "../harness/server-process.ts";

const run = promisify(execFile);

function top(server: ServerProcess, ...more: readonly string[]): readonly string[] {
  return [
    mainFile,
    "top",
    "--endpoint",
    server.url,
    "--ops",
    server.opsUrl,
    "--interval",
    "1",
    ...more,
  ];
}

const environment = { ...process.env, ROMA_KEY: rootKey.replace(":", ".") };

/** Starts it in a terminal of its own, waits for the table, presses q, and says all that was drawn. */
const inTerminal = `
import os, pty, select, struct, fcntl, termios, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
out, pressed, until = b"", False, time.time() + 240
while time.time() < until:
    if select.select([fd], [], [], 0.2)[0]:
        try: data = os.read(fd, 65536)
        except OSError: break
        if not data: break
        out += data
    if not pressed and b"FIRST BYTE P95" in out:
        pressed = True
        os.write(fd, b"q")
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(out)
sys.exit(os.waitstatus_to_exitcode(status))
`;

async function look(server: ServerProcess) {
  const shown = await run(process.execPath, top(server, "--once", "--json"), { env: environment });
  return JSON.parse(shown.stdout);
}

function isBusy({ requestsPerSecond, receivedBytesPerSecond, storages }: Status): boolean {
  const written = storages[0]?.writtenBytesPerSecond ?? 0;
  return requestsPerSecond > 0 && receivedBytesPerSecond > 10_000 && written > 10_000;
}

interface Status {
  readonly requestsPerSecond: number;
  readonly receivedBytesPerSecond: number;
  readonly storages: readonly { readonly writtenBytesPerSecond: number }[];
}

test("one look, as text and as JSON, and a terminal that is as it was before", async (t) => {
  const server = await startServer(t);
  const busy = new AbortController();
  const load = (async () => {
    for (let index = 0; !busy.signal.aborted; index++) {
      await send(server, "PUT", objectPath(`o${index % 5}`), { body: Buffer.alloc(50_000) });
    }
  })();
  try {
    let status = await look(server);
    // Of one second, in which this process may stand still and ask for nothing.
    for (let more = 4; more > 0 && !isBusy(status); more -= 1) status = await look(server);
    assert.ok(isBusy(status), JSON.stringify(status));
    assert.equal(status.storages[0].id, "local");
    assert.ok(status.workers[0].residentBytes > 1e7);
    assert.ok(Array.isArray(status.uploads));

    const drawn = await run(
      "/usr/bin/env",
      ["python3", "-c", inTerminal, process.execPath, ...top(server)],
      {
        env: { ...environment, TERM: "xterm" },
        encoding: "latin1",
      },
    );
    assert.match(drawn.stdout, /requests \d+\.\d\/s/);
    assert.match(drawn.stdout, /local +ok/);
    const entered = drawn.stdout.indexOf("\u001b[?1049h");
    const left = drawn.stdout.lastIndexOf("\u001b[?1049l");
    assert.ok(entered >= 0 && left > entered);
    assert.ok(drawn.stdout.lastIndexOf("\u001b[?25h") > drawn.stdout.lastIndexOf("\u001b[?25l"));
  } finally {
    busy.abort();
    await load;
  }
});
