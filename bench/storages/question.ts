// What is asked of Roma before a storage that is not its own disk? Such a question has a table of its
// own, since each compares with something else.

export interface StorageQuestionOptions {
  /** Its own, empty. */
  readonly folder: string;
  readonly rounds: number;
  readonly quick: boolean;
  readonly storage: RealStorage;
  /** Where Roma writes its CPU profiles. */
  readonly profileFolder: string | undefined;
}

/** Those of test/services that can be started. */
export const realStorages = ["ceph", "minio"] as const;
export type RealStorage = (typeof realStorages)[number];

export interface StorageAnswer {
  /** Of Markdown, the heads first. */
  readonly rows: readonly (readonly string[])[];
  readonly notes: readonly string[];
}

export interface StorageQuestion {
  readonly name: string;
  ask(options: StorageQuestionOptions): Promise<StorageAnswer>;
}

export function storageTable([heads = [], ...rows]: StorageAnswer["rows"]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(heads), `|${"---|".repeat(heads.length)}`, ...rows.map(line)].join("\n");
}
