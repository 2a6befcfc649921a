export { chanceOf, drawer } from './testing/chance.ts'
export type { Chance } from './testing/chance.ts'
export { chaosTransport } from './testing/chaos-transport.ts'
export type { ChaosCounts, ChaosOptions, ChaosTransport } from './testing/chaos-transport.ts'
export * from './testing/checkers.ts'
export { spawnChild } from './testing/child.ts'
export type { Child, ChildExit, SpawnChildOptions } from './testing/child.ts'
export type { StoreCapabilities, TransportCapabilities } from './kernel/capabilities.ts'
export type { Envelope } from './kernel/message.ts'
export type { AddressDesk } from './ports/address-desk.ts'
export type * from './ports/transport.ts'
export type { Store, StoreContext, StoreDefinition } from './ports/store.ts'
export type { ConformanceCase } from './testing/conformance/case.ts'
export { relayConformance } from './testing/conformance/relay.ts'
export type { RelayConformanceOptions } from './testing/conformance/relay-scene.ts'
export { storeConformance } from './testing/conformance/store.ts'
export type { StoreConformanceOptions } from './testing/conformance/store-scene.ts'
export { transportConformance } from './testing/conformance/transport.ts'
export type { TransportConformanceOptions } from './testing/conformance/transport-scene.ts'
export { armFailpoint, armFailpoints, FailpointError } from './testing/failpoints.ts'
export type { ArmedFailpoint, FailpointAction } from './testing/failpoints.ts'
export { blackHoleFault } from './testing/faults/black-hole.ts'
export { clockJumpFault, fakeClock, findFaketime } from './testing/faults/clock-jump.ts'
export type { FakeClock } from './testing/faults/clock-jump.ts'
export { cutMidFrameFault } from './testing/faults/cut-mid-frame.ts'
export type { ActiveFault, Fault } from './testing/faults/fault.ts'
export { fullDiskFault } from './testing/faults/full-disk.ts'
export type { FullDiskTarget } from './testing/faults/full-disk.ts'
export { halfOpenFault } from './testing/faults/half-open.ts'
export { killFault } from './testing/faults/kill.ts'
export type { Killable } from './testing/faults/kill.ts'
export { latencyFault } from './testing/faults/latency.ts'
export { lostCommitFault, lostProduceFault, lostReplyFault } from './testing/faults/lost-reply.ts'
export { pauseFault } from './testing/faults/pause.ts'
export type { Pausable } from './testing/faults/pause.ts'
export { refuseFault } from './testing/faults/refuse.ts'
export { resetFault } from './testing/faults/reset.ts'
export { slicesFault } from './testing/faults/slices.ts'
export { terminateBackendsFault } from './testing/faults/terminate-backends.ts'
export { mergeHistories, parseHistory, readHistory, recordHistory } from './testing/history.ts'
export type {
  HistoryEvent,
  HistoryEventType,
  HistoryNote,
  HistoryOperation,
  HistoryRecorder,
} from './testing/history.ts'
export { checkIdempotency } from './testing/idempotency.ts'
export type {
  CheckIdempotencyOptions,
  IdempotencyReport,
  IdempotencyVerdict,
  ModeReport,
} from './testing/idempotency.ts'
export { startIdempotentApi } from './testing/idempotency-api.ts'
export type {
  ApiAnswer,
  ApiCall,
  ApiJudgement,
  IdempotentApi,
  IdempotentApiOptions,
} from './testing/idempotency-api.ts'
export type { RowDifference, State, StateRow, TableDifference } from './testing/idempotency-difference.ts'
export { SimulatedCrash, UnjudgedAttempt } from './testing/idempotency-modes.ts'
export type { IdempotencyAttempt, IdempotencyMode } from './testing/idempotency-modes.ts'
export { checkSetState } from './testing/idempotency-set-state.ts'
export type {
  CheckSetStateOptions,
  SetStateMessage,
  SetStateReport,
} from './testing/idempotency-set-state.ts'
export type { DeliverOptions, DeliveryReport } from './testing/memory/deliver.ts'
export type { ReceiveOptions } from './testing/memory/received.ts'
export { simulate } from './testing/memory/simulate.ts'
export type { SimulateOptions } from './testing/memory/simulate.ts'
export { createTestWaybill } from './testing/memory/test-waybill.ts'
export type { FailedMessage, TestWaybill, TestWaybillOptions } from './testing/memory/test-waybill.ts'
export type { TestTransaction } from './testing/memory/transactions.ts'
export { findJavaAndMaven } from './testing/kafka-jars.ts'
export type { JavaTools } from './testing/kafka-jars.ts'
export { startKafka } from './testing/kafka-server.ts'
export type { KafkaServer, StartKafkaOptions } from './testing/kafka-server.ts'
export { startPgbouncer } from './testing/pgbouncer-server.ts'
export type { PgbouncerServer, StartPgbouncerOptions } from './testing/pgbouncer-server.ts'
export { freePort } from './testing/ports.ts'
export { startPostgres } from './testing/postgres-server.ts'
export type { PostgresServer, StartPostgresOptions } from './testing/postgres-server.ts'
export { startProxy } from './testing/proxy.ts'
export type { Proxy, ProxyTarget, ReplyMatch } from './testing/proxy.ts'
export { RevivedProcess } from './testing/revived-process.ts'
export type { RevivedProcessOptions, RevivedState } from './testing/revived-process.ts'
export { findSmallDisk, smallDisk } from './testing/small-disk.ts'
export type { SmallDisk } from './testing/small-disk.ts'
export { until } from './testing/until.ts'
export type { UntilOptions } from './testing/until.ts'
