/** `Roma` for Node: over node:http(s), with files as sources and targets. */
import { Client } from "../client.ts";
import type { Address } from "../objects.ts";
import type { ResumeStore } from "../upload/resume-store.ts";
import type { RomaOptions } from "../upload-client.ts";
import { type DownloadedFile, type DownloadFileOptions, downloadFile } from "./download-file.ts";
import { defaultStateFolder, FileResumeStore } from "./file-resume-store.ts";
import { type NodeSource, openNodeSource } from "./sources.ts";
import { NodeTransport, type TransportLimits } from "./transport.ts";

export interface NodeRomaOptions extends RomaOptions {
  /** In place of `token`: an access key. */
  readonly credential?: { readonly id: string; readonly secret: string } | undefined;
  readonly limits?: Partial<TransportLimits> | undefined;
  /**
   * Where unfinished uploads are remembered, so that another process goes on with them: a folder, a
   * store of your own, or `true` for a folder in the user's state (`$XDG_STATE_HOME/roma/uploads`,
   * `~/.local/state/roma/uploads`, `%LOCALAPPDATA%\roma\uploads`). Default: nowhere.
   */
  readonly resume?: boolean | string | ResumeStore | undefined;
}

/** One server, one credential. Close it to end its idle connections. */
export class Roma extends Client<NodeSource> {
  constructor(options: NodeRomaOptions) {
    const { credential, token, resume = false } = options;
    if (credential !== undefined && token !== undefined) {
      throw new TypeError("give one of `token` and `credential`");
    }
    const key = credential && `${credential.id}.${credential.secret}`;
    super(
      {
        transport: new NodeTransport(options.endpoint, options.limits),
        openSource: openNodeSource,
        store: toStore(resume),
      },
      { ...options, token: token ?? key },
    );
  }

  /**
   * Writes an object to a file, in ranges side by side, verified before the file gets its name. The
   * folder is made if need be; a file of that name is replaced.
   */
  downloadFile(
    address: Address,
    path: string,
    options: DownloadFileOptions = {},
  ): Promise<DownloadedFile> {
    return downloadFile(this, address, { path, options });
  }
}

function toStore(resume: boolean | string | ResumeStore): ResumeStore | undefined {
  if (resume === false) return undefined;
  if (resume === true) return new FileResumeStore(defaultStateFolder());
  return typeof resume === "string" ? new FileResumeStore(resume) : resume;
}
