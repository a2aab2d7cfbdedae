/** A supervisor and its workers: the parent's side and the child's. */
export { debugConfig, supervisorConfig, workersConfig } from "./config.ts";
export type { HandedConnections } from "./handed-connections.ts";
export { ownCpuQuota, ownMemoryGroup } from "./memory-group.ts";
export { type SupervisorMetrics, supervisorMetrics } from "./metrics.ts";
export { planWorkers, workerNodeFlags } from "./plan.ts";
export { runSupervisor } from "./run-supervisor.ts";
export { Supervisor } from "./supervisor.ts";
