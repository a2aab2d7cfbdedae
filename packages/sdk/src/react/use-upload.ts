/** A hook around one upload at a time. It knows no platform: what can be uploaded is the uploader's. */
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { UploadState } from "../upload/control.ts";
import type { UploadNotice, UploadOptions, UploadResult } from "../upload/job.ts";
import type { UploadProgress } from "../upload/progress.ts";
import type { Upload } from "../upload/upload.ts";

/** What a component shows. */
export interface Uploading {
  /** `idle` until the first upload begins. */
  readonly state: UploadState | "idle";
  readonly progress: UploadProgress | undefined;
  readonly result: UploadResult | undefined;
  /** A `RomaError`, unless a source or a callback of yours threw. */
  readonly error: unknown;
  /** In the order in which they came. */
  readonly notices: readonly UploadNotice[];
}

export interface UploadHook<Given> extends Uploading {
  /** Begins; one that is under way is cancelled first. Never throws: a failure is in `error`. */
  readonly upload: (source: Given, options: UploadOptions) => void;
  readonly pause: () => void;
  readonly resume: () => void;
  readonly cancel: () => void;
  /** Cancels what is under way, and shows nothing again. */
  readonly reset: () => void;
}

const idle: Uploading = {
  ...{ state: "idle", progress: undefined, result: undefined, error: undefined, notices: [] },
};

/**
 * The uploads of a component, one at a time. When the component goes, its upload goes on, unless
 * `cancelOnUnmount` is true.
 */
export function useUpload<Given>(
  uploader: { upload(source: Given, options: UploadOptions): Upload },
  { cancelOnUnmount = false }: { readonly cancelOnUnmount?: boolean } = {},
): UploadHook<Given> {
  const [shown, show] = useState(idle);
  const current = useRef<Upload>(undefined);

  const reset = useCallback(() => {
    const { current: upload } = current;
    current.current = undefined;
    show(idle);
    void upload?.cancel();
  }, []);

  const begin = useCallback(
    (source: Given, options: UploadOptions) => {
      reset();
      // One that was replaced shows nothing any more.
      const update = (change: (before: Uploading) => Partial<Uploading>) => {
        if (current.current !== upload) return;
        show((before) => ({ ...before, ...change(before) }));
      };
      const upload: Upload = uploader.upload(source, {
        ...options,
        onState(state) {
          update(() => ({ state }));
          options.onState?.(state);
        },
        onProgress(progress) {
          update(() => ({ progress }));
          options.onProgress?.(progress);
        },
        onNotice(notice) {
          update(({ notices }) => ({ notices: [...notices, notice] }));
          options.onNotice?.(notice);
        },
      });
      current.current = upload;
      update(() => ({ state: upload.state }));
      upload.done().then(
        (result) => update(() => ({ result })),
        (error: unknown) => update(() => ({ error })),
      );
    },
    [uploader, reset],
  );

  useEffect(
    () => () => {
      if (cancelOnUnmount) void current.current?.cancel();
    },
    [cancelOnUnmount],
  );

  return useMemo(
    () => ({
      ...shown,
      upload: begin,
      pause: () => current.current?.pause(),
      resume: () => current.current?.resume(),
      cancel: () => void current.current?.cancel(),
      reset,
    }),
    [shown, begin, reset],
  );
}
