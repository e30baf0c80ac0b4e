export { type AuditLog, createAuditLog } from "./audit-log.ts";
export {
  type DebugServer,
  healthRoutes,
  metricsRoute,
  startDebugServer,
} from "./debug-routes.ts";
export { createHealth, type Health, type Readiness } from "./health.ts";
export { createMetrics, type Metrics } from "./metrics.ts";
export type * from "./options.ts";
export { createWebhooks, type EndpointState, type Webhooks } from "./webhooks.ts";
