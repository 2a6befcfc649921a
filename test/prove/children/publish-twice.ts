import { KafkaPublisher } from '../../../src/transports/kafka/publisher.ts'

/** Preloaded: each message is on the wire twice, as after a confirm that was lost (F26). No mutant: an inbox bears it. */
const { publish } = KafkaPublisher.prototype
KafkaPublisher.prototype.publish = async function (this: KafkaPublisher, ...sent) {
  await publish.apply(this, sent)
  return await publish.apply(this, sent)
}
