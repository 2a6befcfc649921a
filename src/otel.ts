export { otelMonitor } from './monitor/otel-monitor.ts'
export { otelTracing } from './monitor/otel-tracing.ts'
export type { OtelTracing } from './monitor/otel-tracing.ts'
export type { Monitor, MonitorDefinition, MonitorPlace, MonitorSource } from './kernel/monitoring.ts'
