export { localTransport } from './transports/local/transport.ts'
export type { LocalTransportOptions } from './transports/local/transport.ts'
