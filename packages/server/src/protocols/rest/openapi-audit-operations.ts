/** Of the audit log: rows of `openapi-operations.ts`. */
import { json, type OperationRow, ok } from "./openapi-rows.ts";

export const auditRows: Readonly<Record<string, OperationRow>> = {
  "GET /audit": {
    id: "listAudit",
    tag: "audit",
    summary: "Read who changed what",
    description:
      "In the order in which it happened. A page looks at a bounded number of records, so a filter that " +
      "little fits makes short pages: `hasMore` says whether to go on. The cursor stays good: later it " +
      "finds what has come since. With `format=ndjson` all that fits, one record a line, each exactly as " +
      "it was hashed.",
    parameters: [
      "since",
      "until",
      "audit-bucket",
      "audit-key",
      "actor",
      "action",
      "format",
      "cursor",
      "limit",
    ],
    answers: {
      "200": {
        description: "A page.",
        content: {
          ...json("AuditPage"),
          "application/x-ndjson": { schema: { type: "string" } },
        },
      },
    },
  },
  "GET /audit/verify": {
    id: "verifyAudit",
    tag: "audit",
    summary: "Verify the chain of the audit log",
    description:
      "100,000 records at most in one call; ask again with the cursor. Keep a `head` elsewhere: the chain " +
      "must contain it for ever, or until it is forgotten by age.",
    parameters: ["cursor"],
    answers: ok("What was found.", "AuditVerification"),
  },
};
