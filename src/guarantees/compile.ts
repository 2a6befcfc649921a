import type { CompileInput, Plan, Refusal } from './plan.ts'

/** Pure: from what adapters declare to a plan, or a refusal with its reason and the nearest choice that holds. */
export function compile({ channel, store, transport, consumers }: CompileInput): Plan | Refusal {
  const isOnce = channel.guarantee === 'at-most-once'
  const isExact = channel.guarantee === 'exactly-once'
  const form = isOnce ? 'settle-first' : isExact ? 'inbox' : 'settle-after'
  const isLocal = transport.capabilities.isLocal
  return {
    kind: 'plan',
    channel: channel.name,
    guarantee: channel.guarantee,
    store: store.kind,
    transport: transport.name,
    relay: isLocal ? 'handlers' : isOnce ? 'take' : 'confirm',
    send: isOnce ? 'dispatch' : isExact ? 'none' : 'confirm',
    consumers: Object.fromEntries(consumers.map(({ name }) => [name, form])),
    hops: [],
    windows: [],
    mayStillHappen: [],
    warnings: [],
  }
}
