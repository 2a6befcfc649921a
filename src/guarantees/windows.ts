import { relayForm } from './forms.ts'
import type { CompileInput, ConsumerFacts, WindowFacts } from './plan.ts'

/** The longest that work under a lease may take: a third is left for what comes before and after (P11). */
export function longestUnderLeaseMs(leaseMs: number): number {
  return Math.floor((leaseMs * 2) / 3)
}

/** The longest inbox retention that can be set. */
const yearMs = 31_536_000_000

/** From the first attempt to the end of the last one, at most: the pauses without their jitter, and each attempt's time-out. */
export function retrySpanMs(windows: WindowFacts, maxAttempts: number, attemptMs: number): number {
  const { retryInitialMs, retryMaxMs } = windows
  let pauses = 0
  let left = maxAttempts - 1
  for (let pause = retryInitialMs; left > 0 && pause < retryMaxMs; pause *= 2, left--) pauses += pause
  return pauses + left * retryMaxMs + maxAttempts * attemptMs
}

/** How long its messages can be replayed after they were sent; 0 where they are not kept, as where a second send would be one too many. */
export function keptMs({ channel, windows }: CompileInput): number {
  const { retainMs = 0 } = windows
  return channel.isStored && channel.guarantee !== 'at-most-once' ? retainMs : 0
}

export function attemptsOf({ channel, windows }: CompileInput): number {
  return channel.maxAttempts ?? windows.maxAttempts
}

/** How long a relay goes on trying to send one message to a transport that answers. */
export function relaySpanMs(input: CompileInput): number {
  return retrySpanMs(input.windows, attemptsOf(input), input.windows.publishTimeoutMs)
}

/** How long a consumer goes on trying to handle one message. */
export function consumerSpanMs(input: CompileInput, consumer: ConsumerFacts): number {
  return retrySpanMs(input.windows, attemptsOf(input), consumer.handlerTimeoutMs)
}

/**
 * After this time no copy of a message comes to its handler any more (I5): the last retry of the relay puts it on the wire, the
 * transport hands it over as late as it can, and it waits behind one whose retries take as long as they may.
 */
export function latestCopyMs(input: CompileInput, consumer: ConsumerFacts): number {
  const copies = relayForm(input) === 'confirm' ? relaySpanMs(input) : 0
  const { redeliveryMs } = input.transport.capabilities
  return copies + (redeliveryMs ?? 0) + consumerSpanMs(input, consumer)
}

/** The retention with which the inbox remembers every copy, with fewer attempts where no retention would. */
export function longEnough(
  input: CompileInput,
  consumer: ConsumerFacts,
): { readonly inboxRetentionMs: number; readonly maxAttempts?: number } {
  const inboxRetentionMs = latestCopyMs(input, consumer)
  if (inboxRetentionMs <= yearMs) return { inboxRetentionMs }
  const maxAttempts = 10
  const fewer = { ...input, channel: { ...input.channel, maxAttempts } }
  return { inboxRetentionMs: latestCopyMs(fewer, consumer), maxAttempts }
}
