export { createWaybill } from './app/create-waybill.ts'
export type { BatchConsumeOptions, ConsumeOptions, TransformConsumeOptions } from './app/consume-options.ts'
export type { ChangePartitionsOptions, DrainWait, PartitionDesk, PartitionsChange } from './app/partitions.ts'
export type { Drain, DrainOptions, DrainReport, Undelivered } from './app/drain.ts'
export type { Middleware } from './app/middleware.ts'
export type { Waybill } from './app/waybill.ts'
export type { DeadLetterDesk, OperationOptions, PurgeReport, ReplayReport } from './app/dead-letters.ts'
export type { KeyDesk, SkipReport, UnblockReport } from './app/keys.ts'
export type { SubscriptionDesk } from './app/subscriptions.ts'
export type { EndedSubscription } from './ports/schema.ts'
export type { DeadLetterSelection, KeySelection } from './app/operator-filters.ts'
export type { DeadLetterSummary, DeadReason, FullDeadLetter } from './ports/dead-letters.ts'
export type { HeldKey, KeyState } from './ports/keys.ts'
export { defineConfig } from './app/config.ts'
export type { WaybillConfig } from './app/config.ts'
export type { ChannelSummary, StatusSummary } from './app/inspection/summary.ts'
export type { StatusWarning } from './app/inspection/warnings.ts'
export type {
  ConsumerCounters,
  PartStatus,
  SendCounters,
  TransactionOptions,
  WaybillStatus,
} from './app/running.ts'
export type { Settings, SettingsOptions } from './app/settings.ts'
export { defineChannel } from './outbox/channel.ts'
export type { Channel, ChannelOptions, RoutedChannel } from './outbox/channel.ts'
export type { Publication, PublishMiddleware } from './outbox/middleware.ts'
export { many } from './outbox/many.ts'
export type { Many } from './outbox/many.ts'
export type { MessageOptions, PublishOptions } from './outbox/messages.ts'
export type { Publish } from './outbox/publish.ts'
export type { Send, SendOptions } from './outbox/send.ts'
export type { StandardSchema } from './outbox/standard-schema.ts'
export { RejectMessage, RetryLater } from './consumer/handler-errors.ts'
export type { BatchContext, BatchHandler, Handler, HandlerContext } from './consumer/handler.ts'
export type { Emit, TransformContext, TransformHandler } from './consumer/transform-entry.ts'
export type { ConsumeMiddleware } from './consumer/handler-entry.ts'
export type { Guarantee } from './guarantees/guarantees.ts'
export {
  CommitOutcomeUnknownError,
  errorCodes,
  isWaybillError,
  PublishOutcomeUnknownError,
  WaybillError,
} from './kernel/errors.ts'
export type { ErrorCode, Retryable } from './kernel/errors.ts'
export type { Logger } from './kernel/logger.ts'
export type { Message, MessageHeaders } from './kernel/message.ts'
