// Connections to a storage that free each given chunk (`core/ports/given-chunks.ts`) once it is with the
// kernel. Until then the socket may still read it: that the client asks for the next chunk does not
// tell that the one before has gone.

import { buildConnector } from "undici";
import { freeChunk } from "../../core/ports/given-chunks.ts";

type Socket = NonNullable<Parameters<buildConnector.Callback>[1]>;

/** undici's own connector, whose sockets free what they have written. */
export function freeingConnector(options: buildConnector.BuildOptions): buildConnector.connector {
  const connect = buildConnector(options);
  return (target, callback) =>
    connect(target, (...[error, socket]: Parameters<buildConnector.Callback>) => {
      if (error === null) callback(null, freeing(socket));
      else callback(error, null);
    });
}

function freeing(socket: Socket): Socket {
  const write: Socket["write"] = socket.write.bind(socket);
  // undici passes no callback of its own for a chunk; whatever else is written goes as it came.
  socket.write = (chunk: Uint8Array | string, ...rest: readonly unknown[]): boolean => {
    if (typeof chunk === "string" || rest.length > 0) {
      return Reflect.apply(write, socket, [chunk, ...rest]);
    }
    return write(chunk, (error) => {
      // After a failure nobody tells what still looks at it: the collector does.
      if (!error) freeChunk(chunk);
    });
  };
  return socket;
}
