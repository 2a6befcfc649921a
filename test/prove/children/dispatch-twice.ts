import { KafkaDispatcher } from '../../../src/transports/kafka/dispatcher.ts'

/** Preloaded: what at-most-once sends is sent again, as a client that retries does (B8, F7). */
const { dispatch } = KafkaDispatcher.prototype
KafkaDispatcher.prototype.dispatch = async function (this: KafkaDispatcher, ...sent) {
  await dispatch.apply(this, sent)
  return await dispatch.apply(this, sent)
}
