/** The audit log for those who may read it: pages, a stream of all, and whether its chain is whole. */
import { type Actor, authorize } from "../access.ts";
import { type Alerts, silentAlerts } from "../ports/alerts.ts";
import type {
  AuditFilter,
  AuditPage,
  AuditStore,
  AuditVerification,
} from "../ports/audit-store.ts";

/** Records on one page. */
export const auditLimitMax = 1_000;
/** Records of one call that verifies: a second of work or so. */
const verifiedMax = 100_000;

export class Audit {
  readonly #metadata: AuditStore;
  readonly #alerts: Alerts;

  constructor(options: { readonly metadata: AuditStore; readonly alerts?: Alerts }) {
    this.#metadata = options.metadata;
    this.#alerts = options.alerts ?? silentAlerts;
  }

  /**
   * In order of the chain, from behind `after` on. A filter that little fits makes pages with few records, or
   * none: `hasMore` says whether there is more to look at.
   */
  async list(
    actor: Actor,
    query: AuditFilter & { readonly after: number; readonly limit: number },
  ): Promise<AuditPage> {
    authorize(actor, "audit:read", {});
    const limit = Math.min(query.limit, auditLimitMax);
    return await this.#metadata.listAudit({ ...query, limit });
  }

  /** Everything that fits, a page at a time; ends at what is the end then. */
  async *export(
    actor: Actor,
    query: AuditFilter & { readonly after: number },
  ): AsyncGenerator<AuditPage, void, undefined> {
    let { after } = query;
    for (;;) {
      const page = await this.list(actor, { ...query, after, limit: auditLimitMax });
      yield page;
      if (!page.hasMore) return;
      after = page.after;
    }
  }

  /** From behind `after` on, for as long as one call may take: `next` says where to go on. */
  async verify(actor: Actor, { after }: { readonly after: number }): Promise<AuditVerification> {
    authorize(actor, "audit:read", {});
    const verified = await this.#metadata.verifyAudit({ after, limit: verifiedMax });
    const [first] = verified.problems;
    if (first !== undefined) {
      const message = `the audit log is not whole: ${verified.problems.length} problems, the first at record ${first.sequence}`;
      this.#alerts.raise("audit_chain_broken", { sequence: first.sequence }, message);
    } else if (after === 0 && verified.next === undefined) this.#alerts.clear("audit_chain_broken");
    return verified;
  }
}
