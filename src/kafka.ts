export { kafkaTransport } from './transports/kafka/transport.ts'
export type { KafkaSasl, KafkaTransportOptions } from './transports/kafka/options.ts'
