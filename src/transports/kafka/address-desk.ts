import type { Admin } from '@platformatic/kafka'
import { systemClock } from '../../kernel/clock.ts'
import { WaybillError } from '../../kernel/errors.ts'
import type { AddressDesk, AddressList } from '../../ports/address-desk.ts'
import { clientOptions, type KafkaLibrary } from './client.ts'
import { hasKafkaError, isUnknownTopic, kafkaErrorName } from './kafka-error.ts'
import type { KafkaSettings } from './options.ts'

/** What changes a cluster takes longer than a message. */
const requestTimeoutMs = 30_000
/** Longer than the session of any member that was killed. */
const graceMs = 15_000
const pauseMs = 500

const withoutMembers: ReadonlySet<string> = new Set(['EMPTY', 'DEAD'])

/** Makes topics and removes them, with the groups that read them, by the transport's own credentials. */
export class KafkaAddressDesk implements AddressDesk {
  readonly #settings: KafkaSettings
  readonly #notes: string | null
  readonly #admin: Admin

  /** `notes`: the topic that is the transport's alone; `null`: there is none. */
  constructor(kafka: KafkaLibrary, settings: KafkaSettings, applicationName: string, notes: string | null) {
    this.#settings = settings
    this.#notes = notes
    this.#admin = new kafka.Admin({
      ...clientOptions(settings, applicationName),
      requestTimeout: requestTimeoutMs,
      retries: 3,
      retryDelay: 300,
    })
  }

  async list(prefix: string): Promise<AddressList> {
    const isMeant = (name: string): boolean => name.startsWith(prefix)
    const topics = await this.#admin.listTopics({ includeInternals: false })
    const groups = [...(await this.#admin.listGroups()).values()].filter(({ id }) => isMeant(id))
    return {
      addresses: topics.filter(isMeant),
      consumers: groups.map(({ id, state }) => ({
        name: id,
        hasMembers: !withoutMembers.has(state.toUpperCase()),
      })),
    }
  }

  async create(address: string, streams: number = this.#settings.partitionsPerTopic): Promise<void> {
    try {
      await this.#admin.createTopics({ topics: [address], partitions: streams, replicas: -1 })
    } catch (cause) {
      // An answer may have been lost, and it was asked for again.
      if (hasKafkaError(cause, 'TOPIC_ALREADY_EXISTS')) return
      throw new WaybillError(
        'WB_BROKER_UNREACHABLE',
        `The topic ${address} could not be made (${kafkaErrorName(cause)}): check that the brokers answer and let this client make topics.`,
        { cause },
      )
    }
  }

  async areShared(consumers: readonly string[], members: number): Promise<boolean> {
    if (consumers.length === 0) return true
    const found = [...(await this.#admin.describeGroups({ groups: [...consumers] })).values()]
    const isShared = ({ state, members: own }: (typeof found)[number]): boolean =>
      state.toUpperCase() === 'STABLE' && own.size >= members
    return found.length === consumers.length && found.every(isShared)
  }

  async remove(addresses: readonly string[], consumers: readonly string[]): Promise<void> {
    // At once: groups of processes that were killed are waited for.
    const results = await Promise.allSettled([
      ...addresses.map((address) => this.#removeTopic(address)),
      ...consumers.map((consumer) => this.#removeGroup(consumer)),
    ])
    const failed = results.find(({ status }) => status === 'rejected')
    if (failed?.status === 'rejected') throw failed.reason
  }

  async removeNotes(): Promise<void> {
    if (this.#notes !== null) await this.#removeTopic(this.#notes)
  }

  async close(): Promise<void> {
    await this.#admin.close()
  }

  async #removeTopic(topic: string): Promise<void> {
    try {
      await this.#admin.deleteTopics({ topics: [topic] })
    } catch (error) {
      if (!isUnknownTopic(error)) throw error
    }
  }

  async #removeGroup(group: string): Promise<void> {
    const deadline = systemClock.now() + this.#settings.sessionTimeoutMs + graceMs
    for (;;) {
      // Refused while it has members, and where nobody ever joined it: the list tells these apart.
      const isDeleted = await this.#admin.deleteGroups({ groups: [group] }).then(
        () => true,
        () => false,
      )
      if (isDeleted || !(await this.#admin.listGroups()).has(group)) return
      if (systemClock.now() > deadline)
        throw new WaybillError(
          'WB_TIMED_OUT',
          `The consumer group ${group} could not be removed: it still has members.`,
        )
      await systemClock.sleep(pauseMs)
    }
  }
}
