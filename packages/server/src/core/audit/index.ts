/** The audit log above its store: reading and verifying it, refusals on their way into it, and its upkeep. */
export { Audit, auditLimitMax } from "./audit.ts";
export { type NewRefusal, type RefusalSink, Refusals } from "./refusals.ts";
export { AuditUpkeep } from "./upkeep.ts";
