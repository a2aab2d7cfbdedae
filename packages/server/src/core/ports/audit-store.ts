/**
 * The audit log as part of every metadata store: who changed what, in a chain of hashes. A record is appended
 * by the very transaction that makes the change, so that neither is ever there without the other. Nothing
 * changes a record; the oldest are forgotten together, and the chain says so itself.
 *
 *   hash of a record = SHA-256(hash of the record before it ‖ the record's text in UTF-8)
 *
 * The hash before record 1 is 32 zero bytes. The texts' layout: `docs/audit.md`.
 */
import type { ErrorCode } from "@roma/contract";
import type { Author, Authored } from "./author.ts";

/** Something that was asked for and refused. */
export interface Refusal {
  readonly author: Author;
  readonly at: Date;
  readonly code: ErrorCode;
  /** What a policy would have had to permit: `object:delete`. */
  readonly permission?: string;
  readonly bucket?: string;
  readonly key?: string;
  /** So many more of the same since the last record of it; left out: this is the first. */
  readonly repeated?: number;
}

export interface AuditFilter {
  /** At this instant or later, by the server's clock as it was then. */
  readonly since?: Date;
  /** Before this instant. */
  readonly until?: Date;
  /** Of a copy or move also those whose source it is. */
  readonly bucket?: string;
  readonly key?: string;
  /** An access key's id; also of grants that it signed and of uploads that it began. */
  readonly actor?: string;
  readonly action?: string;
}

export interface AuditQuery extends AuditFilter {
  /** Sequences greater than this. */
  readonly after: number;
  /** Records at most. */
  readonly limit: number;
}

export interface AuditLine {
  readonly sequence: number;
  /**
   * The record's text, whose last two members are `previous` and `hash`, in hex: the hash of the record before
   * it and its own. Without these two it is exactly what was hashed.
   */
  readonly line: string;
}

export interface AuditPage {
  readonly lines: readonly AuditLine[];
  /** All up to this sequence have been looked at: give it as `after` for what follows. */
  readonly after: number;
  /** Whether there was more to look at. */
  readonly hasMore: boolean;
}

/** A place in the chain; `hash` in hex. */
export interface AuditPoint {
  readonly sequence: number;
  readonly hash: string;
}

export interface AuditProblem {
  /** Of the record that is wrong, or the first that is missing. */
  readonly sequence: number;
  readonly problem: string;
}

/** Of a stretch of the chain. */
export interface AuditVerification {
  /** Records that were looked at. */
  readonly checked: number;
  /** The first few. Empty: the stretch is whole. */
  readonly problems: readonly AuditProblem[];
  /** Where to go on; absent at the end of the chain. */
  readonly next?: number;
  /** The last of what was forgotten: the chain begins after it. */
  readonly anchor: AuditPoint;
  /** The newest record. */
  readonly head: AuditPoint;
}

export interface AuditStore {
  /** In the order given, in one transaction. */
  appendRefusals(refusals: readonly Refusal[]): Promise<void>;
  /** In order of sequences. Looks at a bounded number of records. */
  listAudit(query: AuditQuery): Promise<AuditPage>;
  /** The chain from behind `after` (0: from its beginning) on, as far as `limit` records. */
  verifyAudit(query: {
    readonly after: number;
    readonly limit: number;
  }): Promise<AuditVerification>;
  /**
   * Forgets records from the beginning of the chain as long as they are older than `before`, `limit` at most, and
   * appends one that says up to where. Answers how many.
   */
  pruneAudit(
    options: Authored & { readonly before: Date; readonly limit: number },
  ): Promise<number>;
}
