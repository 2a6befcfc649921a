import { guaranteeTerms, type Guarantee } from '../guarantees/guarantees.ts'

export const brokers = ['local', 'kafka', 'rabbitmq', 'sqs', 'udp'] as const
export type Broker = (typeof brokers)[number]

export const repeats = ['no', 'idempotent', 'yes'] as const

/** What choosing a guarantee turns on. */
export interface Answers {
  /** The channel's name. */
  readonly name: string
  /** May a message be lost now and then? */
  readonly mayBeLost: boolean
  /** May its effect be there twice? `idempotent`: its handler bears being run again. */
  readonly mayRepeat: (typeof repeats)[number]
  /** Is it sent because of a change in the database, in one transaction with it? */
  readonly inTransaction: boolean
  /** Must messages of a key be handled in order? */
  readonly ordered: boolean
  /** `low`: milliseconds count more than throughput. */
  readonly latency: 'normal' | 'low'
  readonly broker: Broker
}

export interface Advice {
  readonly guarantee: Guarantee
  /** Why this one, in sentences. */
  readonly why: readonly string[]
  /** What the answers ask for and this does not give, or what has to be done besides. */
  readonly notes: readonly string[]
  /** It goes by `send()`, past the outbox. */
  readonly isDirect: boolean
  /** The channel to paste. */
  readonly definition: string
}

/** Which guarantee answers to the answers: the weakest that gives what they ask for, since each costs more than the last. */
export function advise(answers: Answers): Advice {
  const guarantee = choose(answers)
  const { mayStillHappen } = guaranteeTerms[guarantee]
  return {
    guarantee,
    why: [reasonOf(answers, guarantee), mayStillHappen],
    notes: notesOf(answers, guarantee),
    isDirect: isDirect(answers, guarantee),
    definition: definitionOf(answers, guarantee),
  }
}

/** Brokers this version has a transport for. */
const supported: readonly Broker[] = ['local', 'kafka']

function choose({ mayBeLost, mayRepeat, inTransaction, broker }: Answers): Guarantee {
  if (mayBeLost || broker === 'udp') return 'at-most-once'
  if (mayRepeat === 'yes') return 'at-least-once'
  if (mayRepeat === 'idempotent') return 'effectively-once'
  // Over a local transport there is a database to have a transaction in, whatever was answered.
  return inTransaction || broker === 'local' ? 'exactly-once' : 'at-least-once'
}

function reasonOf({ mayBeLost, mayRepeat }: Answers, guarantee: Guarantee): string {
  switch (guarantee) {
    case 'at-most-once':
      return mayBeLost
        ? 'A message may be lost, so nothing has to be tried again, and nothing can come twice.'
        : 'UDP confirms nothing and hands nothing over again, so nothing stronger holds over it.'
    case 'at-least-once':
      return mayRepeat === 'yes'
        ? 'No message may be lost, and a repeat does no harm.'
        : 'No message may be lost; that its effect is not repeated is then the work of the consumers.'
    case 'effectively-once':
      return 'No message may be lost, and a handler that bears being run again makes one effect of many runs.'
    case 'exactly-once':
      return 'No message may be lost, and none may take effect twice: note and effect commit in one transaction.'
  }
}

function notesOf(answers: Answers, guarantee: Guarantee): readonly string[] {
  const { broker, mayBeLost, mayRepeat, ordered, latency } = answers
  const notes: string[] = []
  if (!mayBeLost && broker === 'udp') {
    notes.push('It will lose messages, which you said it may not: take another broker where that matters.')
  }
  if (guarantee === 'at-least-once' && mayRepeat === 'no') {
    notes.push(
      "Without a transaction nothing ties the message to what caused it: a crash before send() forgets it. Let each consumer ask for form: 'inbox': a copy that send() made has the same id and no effect there.",
    )
    notes.push(
      'If the sender has a database, send from waybill.transaction() with publish(), and take exactly-once.',
    )
  }
  if (guarantee === 'exactly-once' && !answers.inTransaction) {
    notes.push('Publish it from waybill.transaction(): exactly-once is not sent without a transaction.')
  }
  if (guarantee === 'effectively-once') {
    notes.push(
      'Register handlers with idempotent: true, once `waybill check-idempotency` has shown that they are.',
    )
  }
  if (isExactOverKafka(answers, guarantee) && latency === 'low') {
    notes.push(
      "Put your consumers' names in `consumers`: where every one has an inbox the relay needs no transaction of Kafka, which would cost latency.",
    )
  }
  if (guarantee === 'exactly-once' && latency === 'low' && broker !== 'kafka') {
    notes.push('The transaction of each batch costs latency; consumerBatchSize bounds it.')
  }
  if (ordered && broker === 'udp') notes.push('UDP keeps no order, so the channel is not ordered.')
  if (ordered && broker === 'sqs') notes.push('Order needs a FIFO queue.')
  if (ordered && isDirect(answers, guarantee) && broker !== 'udp') {
    notes.push('Await each send() before the next one of its key: order is that of awaited calls.')
  }
  if (isDirect(answers, guarantee)) notes.push('Nothing is stored: use send(), not publish().')
  if (!supported.includes(broker)) {
    notes.push(`This version has no transport for ${broker} yet; those it has: ${supported.join(', ')}.`)
  }
  return notes
}

function isExactOverKafka({ broker }: Answers, guarantee: Guarantee): boolean {
  return guarantee === 'exactly-once' && broker === 'kafka'
}

/** Whether the outbox is left out: nothing commits with the message, or what may be lost shall be fast. */
function isDirect({ inTransaction, latency, broker }: Answers, guarantee: Guarantee): boolean {
  if (broker === 'local' || guarantee === 'exactly-once') return false
  return !inTransaction || (guarantee === 'at-most-once' && latency === 'low')
}

function definitionOf(answers: Answers, guarantee: Guarantee): string {
  const { name, ordered, broker, latency } = answers
  const options = [`name: ${quoted(name)},`, `guarantee: '${guarantee}',`]
  if (ordered && broker !== 'udp') {
    options.push('// Messages of one key are handled in order.', 'key: (message) => message.id,')
  }
  if (isDirect(answers, guarantee)) options.push('outbox: false,')
  if (isExactOverKafka(answers, guarantee) && latency === 'low')
    options.push("consumers: { shipping: 'inbox' },")
  return [
    "import { defineChannel } from 'waybill'",
    '',
    `export const ${variableOf(name)} = defineChannel<{ readonly id: string }>({`,
    ...options.map((line) => `  ${line}`),
    '})',
    '',
    '// In waybill.config.ts:',
    `//   channels: [${variableOf(name)}.via('${broker}')]`,
  ].join('\n')
}

function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/gu, String.raw`\$&`)}'`
}

/** Words that a module cannot give to a constant. */
const reserved: ReadonlySet<string> = new Set(
  (
    'await break case catch class const continue debugger default delete do else enum export extends false finally for function if ' +
    'implements import in instanceof interface let new null package private protected public return static super switch this throw ' +
    'true try typeof var void while with yield'
  ).split(' '),
)

/** `orders.placed` → `ordersPlaced` */
function variableOf(name: string): string {
  const camel = name.replaceAll(/[^A-Za-z0-9]+(\w?)/gu, (_, letter: string) => letter.toUpperCase())
  const first = camel.charAt(0).toLowerCase() + camel.slice(1)
  return /^[a-z]\w*$/u.test(first) && !reserved.has(first) ? first : `channel${camel}`
}
