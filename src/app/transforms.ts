import type { OutputTarget } from '../consumer/transform-entry.ts'
import { WaybillError } from '../kernel/errors.ts'
import { didYouMean } from '../kernel/suggest.ts'
import type { Checkpoints } from '../ports/checkpoints.ts'
import type { Inbox } from '../ports/inbox.ts'
import type { TransactionRunner } from '../ports/transaction-runner.ts'
import type { AnyChannel, ChannelRoute, ResolvedConfig } from './config.ts'

/**
 * What a transform of this channel may put out, by name. Throws `WB_INVALID_CONFIG` where that is not in the configuration or
 * goes over another transport than the input: no transaction spans two.
 */
export function outputTargets(
  { routes }: Pick<ResolvedConfig, 'routes'>,
  input: ChannelRoute,
  channels: readonly AnyChannel[],
): ReadonlyMap<string, OutputTarget> {
  const targets = new Map<string, OutputTarget>()
  for (const channel of channels) {
    const refuse = (why: string): never => {
      const text = `The transform of channel "${input.channel.name}" lists channel "${channel?.name}", which ${why}`
      throw new WaybillError('WB_INVALID_CONFIG', text)
    }
    const route = routes.get(channel?.name)
    if (route === undefined) {
      return refuse(`is not in the configuration.${didYouMean(channel?.name ?? '', routes.keys())}`)
    }
    if (route.transport !== input.transport) {
      refuse(
        `goes via "${route.transport}", while its input comes via "${input.transport}": position and outputs are committed in ` +
          'one transaction, and no transaction spans two transports.',
      )
    }
    targets.set(route.channel.name, route)
  }
  return targets
}

/** What consumers have of a store. */
export interface ConsumerStore {
  readonly inbox: Inbox
  readonly checkpoints: Checkpoints
}

/**
 * For transforms in a service without a store: attempts are counted in memory, and there is no place for a dead letter, so that
 * a message which fails is tried again for ever.
 */
export function withoutStore(): ConsumerStore & { readonly transactions: TransactionRunner } {
  const starts = new Map<string, number>()
  const none = async (): Promise<never> => {
    throw new WaybillError(
      'WB_INVALID_CONFIG',
      'The configuration has no `store`, so there is no place for a dead letter and for what a handler writes.',
    )
  }
  return {
    inbox: {
      admit: none,
      take: none,
      bury: none,
      countStart: async (consumer, id) => {
        const key = `${consumer}\0${id}`
        const count = (starts.get(key) ?? 0) + 1
        starts.delete(key)
        starts.set(key, count)
        if (starts.size > countedMessages) starts.delete(starts.keys().next().value!)
        return count
      },
      takeBackStart: async (consumer, id) => {
        const key = `${consumer}\0${id}`
        const count = starts.get(key) ?? 0
        if (count > 0) starts.set(key, count - 1)
      },
      purge: async () => 0,
      holdsLease: none,
      countLosses: none,
    },
    checkpoints: { find: none, advance: none },
    transactions: { run: none },
  }
}

/** Far more than fail at one time: one for each stream. The oldest is forgotten. */
const countedMessages = 10_000
