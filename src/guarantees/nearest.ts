import type { CompileInput, ConsumerFacts, Nearest } from './plan.ts'

/** The input with the nearest choice of a refusal put in. It may be refused for another reason, with a nearest of its own. */
export function applyNearest(input: CompileInput, nearest: Nearest): CompileInput {
  const change = nearest.consumer
  return {
    ...input,
    channel: { ...input.channel, ...nearest.channel },
    windows: { ...input.windows, ...nearest.windows },
    consumers: input.consumers.map((consumer) =>
      change !== undefined && (change.name ?? consumer.name) === consumer.name
        ? { ...consumer, ...change.change }
        : consumer,
    ),
  }
}

const plain = { form: undefined, transforms: false } as const

/** For every consumer: what was asked for beyond the guarantee goes with it. */
export function toAtLeastOnce({ consumers }: CompileInput): Nearest {
  return {
    words: `guarantee: 'at-least-once'${withoutForms(consumers)}`,
    channel: { guarantee: 'at-least-once' },
    consumer: { change: plain },
  }
}

export function toAtMostOnce({ channel, store, consumers }: CompileInput): Nearest {
  const isStored = channel.isStored && store.capabilities.takes
  const direct = channel.isStored && !isStored ? ', outbox: false' : ''
  const attempts = channel.maxAttempts === undefined ? '' : ', without `maxAttempts`'
  const policy = channel.onPoison === 'skip' ? '' : ', without `onPoison`'
  const isEndless = isStored || channel.expiresAfterMs === undefined
  const age = isEndless ? '' : ', without `expiresAfterMs`'
  return {
    words: `guarantee: 'at-most-once'${direct}${attempts}${policy}${age}${withoutForms(consumers)}`,
    channel: {
      guarantee: 'at-most-once',
      maxAttempts: undefined,
      onPoison: 'skip',
      isStored,
      ...(isEndless ? {} : { expiresAfterMs: undefined }),
    },
    consumer: { change: plain },
  }
}

/** The same consumer with what keeps ids in place of positions; where the store has no inbox, a weaker guarantee. */
export function toInbox(input: CompileInput, consumer: ConsumerFacts): Nearest {
  const { channel, store } = input
  if (channel.guarantee !== 'exactly-once') {
    return {
      words: `consumer "${consumer.name}" without \`form\` or transform`,
      consumer: { name: consumer.name, change: plain },
    }
  }
  if (!store.capabilities.hasInbox) return toAtLeastOnce(input)
  return {
    words: consumer.transforms
      ? `a handler with \`tx\` in place of the transform of "${consumer.name}"`
      : `form: 'inbox' for consumer "${consumer.name}"`,
    consumer: { name: consumer.name, change: { form: 'inbox', transforms: false } },
  }
}

function withoutForms(consumers: readonly ConsumerFacts[]): string {
  const isAsked = consumers.some(({ form, transforms }) => form !== undefined || transforms)
  return isAsked ? ', with consumers without `form` or transform' : ''
}
