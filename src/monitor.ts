export { httpMonitor } from './monitor/http.ts'
export type { HttpMonitorOptions } from './monitor/http.ts'
export type { Monitor, MonitorDefinition, MonitorPlace, MonitorSource } from './kernel/monitoring.ts'
