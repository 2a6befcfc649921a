import { readFileSync } from 'node:fs'
import type { ChannelRoute } from '../../app/config.ts'
import { describeError, WaybillError } from '../../kernel/errors.ts'
import { makeMessages } from '../../outbox/messages.ts'
import { leftOutSentence, readMessages, type ReadMessages } from '../../testing/idempotency-messages.ts'
import { type Chance, chanceOf } from '../../testing.ts'
import { jsonSchemaOf, makePayload, values } from './made-payload.ts'
import type { Service } from './service.ts'

/** What is published. */
export interface Content {
  readonly payload: unknown
  readonly options: { readonly key?: string; readonly headers?: Readonly<Record<string, string>> }
}

const keys = 24

/** What is published on each channel: the user's examples, or payloads made by the schema. */
export class Payloads {
  readonly #routes: ReadonlyMap<string, ChannelRoute>
  readonly #makers: ReadonlyMap<string, (chance: Chance) => Content>
  /** For people: examples that are not used. */
  readonly leftOut: string | undefined

  private constructor(
    routes: ReadonlyMap<string, ChannelRoute>,
    makers: ReadonlyMap<string, (chance: Chance) => Content>,
    leftOut: string | undefined,
  ) {
    this.#routes = routes
    this.#makers = makers
    this.leftOut = leftOut
  }

  /** Throws `WB_INVALID_OPTION` where there is nothing that could be published on a channel, or an example is wrong. */
  static async of({ config, settings }: Pick<Service, 'config' | 'settings'>): Promise<Payloads> {
    const { routes } = config
    const { messages, pairs, handlers } = settings
    const wanted = [...new Set(pairs.map(({ channel }) => channel))]
    const read: ReadMessages =
      messages === null
        ? { byChannel: new Map(), leftOut: new Map() }
        : await readMessages(readFileSync(messages, 'utf8'), routes, wanted)
    const examples: ReadonlyMap<string, readonly Example[]> = read.byChannel
    const makers = new Map<string, (chance: Chance) => Content>()
    for (const name of wanted) {
      const given = examples.get(name)
      const make = given === undefined ? makerFor(routes.get(name)!, handlers !== null) : oneOf(given)
      if (make !== null) makers.set(name, make)
    }
    const payloads = new Payloads(routes, makers, leftOutSentence(read))
    for (const name of makers.keys()) {
      if (examples.has(name)) continue
      try {
        for (const chance of trials()) await payloads.draw(name, chance)
      } catch (cause) {
        throw new WaybillError(
          'WB_INVALID_OPTION',
          `No payload can be made up for channel "${name}" (${describeError(cause).message}) Give examples with --messages.`,
          { cause },
        )
      }
    }
    // Others get what handlers publish; but one has to begin.
    if (makers.size === 0) throw cannotMake(wanted[0]!)
    return payloads
  }

  /** Channels that something can be published on. */
  get channels(): readonly string[] {
    return [...this.#makers.keys()]
  }

  /** `key`: what it is kept in order with, or `null`. */
  async draw(channel: string, chance: Chance): Promise<Content & { readonly key: string | null }> {
    const content = this.#makers.get(channel)!(chance)
    const target = this.#routes.get(channel)!
    const { messages } = await makeMessages({ target, ...content })
    return { ...content, key: target.channel.ordered ? messages[0]!.key : null }
  }
}

/**
 * Each value that anything is made of, and then many together: a schema may take some and refuse others, and what it refuses in the
 * middle of a run would come too late to be told.
 */
function trials(): readonly Chance[] {
  const drawn = chanceOf(1)
  return [
    ...Array.from({ length: values }, (_, i) => () => (i + 0.5) / values),
    ...Array.from({ length: 100 }, () => drawn),
  ]
}

interface Example {
  readonly given: unknown
  readonly key: string | null
  readonly headers: Readonly<Record<string, string>>
}

function oneOf(examples: readonly Example[]): (chance: Chance) => Content {
  return (chance) => {
    const { given, key, headers } = examples[Math.floor(chance() * examples.length)]!
    return { payload: given, options: { headers, ...(key === null ? {} : { key }) } }
  }
}

/** `null`: nobody knows what the user's handlers of this channel take. */
function makerFor({ channel }: ChannelRoute, isTheirs: boolean): ((chance: Chance) => Content) | null {
  const { schema, ordered } = channel
  const draw = (chance: Chance): string => `k${1 + Math.floor(chance() * keys)}`
  // Where the channel's own `key` makes one of the payload, that counts.
  const optionsOf = (payload: unknown, chance: Chance): Content['options'] =>
    ordered && keyOf(channel, payload) === undefined ? { key: draw(chance) } : {}
  if (schema === undefined) {
    return isTheirs
      ? null
      : (chance) => {
          const payload = { prove: draw(chance) }
          return { payload, options: optionsOf(payload, chance) }
        }
  }
  const json = jsonSchemaOf(schema)
  if (json === undefined) return null
  return (chance) => {
    const payload = makePayload(json, chance)
    return { payload, options: optionsOf(payload, chance) }
  }
}

function keyOf(channel: ChannelRoute['channel'], payload: unknown): string | undefined {
  try {
    return channel.keyOf(payload)
  } catch {
    // Of what a schema makes of a payload it may not tell by the payload itself; whoever publishes does.
    return 'some'
  }
}

function cannotMake(channel: string): WaybillError {
  return new WaybillError(
    'WB_INVALID_OPTION',
    `No payload can be made up for channel "${channel}", which has no schema that tells its JSON Schema (as Zod 4 and ArkType do). ` +
      'Give examples with --messages.',
  )
}
