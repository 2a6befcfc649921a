import { backoffMs } from '../../kernel/retry.ts'
import type { MindCore } from './core.ts'
import { type ChannelState, keysOf } from './state.ts'

/**
 * The destination fails for everyone: it is left alone for a while, and its rows are not marked one by one. They leave
 * memory, so that other channels have the room; the read that ends the hold starts from floor 0.
 */
export function hold(core: MindCore, channel: ChannelState, code: string, now: number): void {
  channel.code = code
  if (channel.heldUntil !== null) return
  channel.failures += 1
  channel.heldUntil = now + backoffMs(channel.failures, core.options.hold, core.options.random)
  channel.acceptsFromRead = Number.POSITIVE_INFINITY
  for (const partition of core.partitions.values()) {
    for (const key of keysOf(partition)) {
      if (key.channel !== channel) continue
      for (const entry of key.queue) core.drop(entry)
      key.queue = []
      if (key.closed?.waitsFor === 'queue') {
        key.closed = null
        core.reopening.delete(key)
      }
      core.refresh(key)
    }
  }
  core.dropLoose(channel)
}
