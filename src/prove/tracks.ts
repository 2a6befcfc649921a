import { guarantees } from '../guarantees/guarantees.ts'
import { type Channel, defineChannel, type Guarantee } from '../index.ts'
import { keysPerTrack, type ProveSettings } from './settings.ts'

/** What a message of the load says. */
export interface Load {
  /** Keys of one writer's making; of each the messages are numbered in the order of their commits. */
  readonly key: string
  readonly seq: number
  /** Moved from the key's first account to its second. */
  readonly amount: number
  /** A text that must be in no log. */
  readonly canary: string
  /** The id of the message that a transform made this one of. */
  readonly of?: string
  /** No order, but a mark behind all that was written before it: see {@link Marks}. */
  readonly mark?: number
}

/** What a handler publishes of each message it handles. */
export interface Follow {
  readonly key: string
  /** The id of the message that was handled. */
  readonly of: string
}

/**
 * How exactly-once is kept where there is a choice: `fenced` transactions into the broker and an inbox · `idempotent` sends, because
 * every consumer has an inbox · `fenced` transactions and a `checkpoint` · a `transform` between the two, whose position and output commit in
 * one transaction of the broker.
 */
export type Way = 'fenced' | 'idempotent' | 'checkpoint' | 'transform'

/** What is judged for itself. All of them run side by side, under the same faults. */
export interface Judged {
  readonly name: string
  readonly guarantee: Guarantee
  /** `null`: there is one alone. */
  readonly way: Way | null
  /** As the store has them. */
  readonly names: { readonly channel: string; readonly consumer: string }
  /** The user's own names of them; `null`: the track is one of the run's. */
  readonly pair: { readonly channel: string; readonly consumer: string } | null
  /** Handlers publish of each message what is judged with it. */
  readonly hasFollow: boolean
  /** Money moves with its effects. */
  readonly hasMoney: boolean
  /** Messages may be lost between outbox and handler, and nothing marks the end of those that were not. */
  readonly isUnmarked: boolean
}

/** One way to keep a guarantee: a channel, and how it is consumed. */
export interface Track extends Judged {
  readonly channel: Channel<Load>
  readonly consumer: string
  /** Its handlers publish, and where to. */
  readonly follow: Channel<Follow, Follow, true, false> | null
  /** Where a transform puts what comes on `channel`, and who has its effect there. `null`: the consumer of `channel` has. */
  readonly transformed: { readonly channel: Channel<Load>; readonly consumer: string } | null
}

type Chosen = Pick<ProveSettings, 'id' | 'guarantees' | 'brokers'>

/** The tracks of a run whose topics and groups bear this id. */
export function tracksOf({ id, guarantees: chosen, brokers }: Chosen): readonly Track[] {
  return guarantees
    .filter((guarantee) => chosen.includes(guarantee))
    .flatMap((guarantee) => {
      const ways: readonly (Way | null)[] =
        guarantee === 'exactly-once' && brokers !== null
          ? ['fenced', 'idempotent', 'checkpoint', 'transform']
          : [null]
      return ways.map((way) => trackOf(id, guarantee, way))
    })
}

function trackOf(id: string, guarantee: Guarantee, way: Way | null): Track {
  const name = way === null ? guarantee : `${guarantee}-${way}`
  const consumer = `${id}.${name}`
  const isFollowed = guarantee === 'exactly-once' && way !== 'transform'
  const channelName = `prove.${name}`
  return {
    name,
    guarantee,
    way,
    names: { channel: channelName, consumer },
    pair: null,
    hasFollow: isFollowed,
    hasMoney: guarantee === 'exactly-once',
    // See `Marks`.
    isUnmarked: false,
    channel: defineChannel<Load>({
      name: channelName,
      guarantee,
      address: `${id}.${name}`,
      key: ({ key }) => key,
      ...(way === 'idempotent' ? { consumers: { [consumer]: 'inbox' as const } } : {}),
    }),
    consumer,
    follow: isFollowed
      ? defineChannel<Follow>({
          name: `prove.${name}.follow`,
          guarantee,
          address: `${id}.${name}.follow`,
          key: ({ key }) => key,
        })
      : null,
    transformed:
      way === 'transform'
        ? {
            channel: defineChannel<Load>({
              name: `${channelName}.out`,
              guarantee,
              address: `${id}.${name}.out`,
              key: ({ key }) => key,
            }),
            consumer: `${consumer}.out`,
          }
        : null,
  }
}

/** All channels of a track, and who consumes each. */
export function hopsOf(track: Track): readonly {
  readonly channel: Track['channel'] | NonNullable<Track['follow']>
  readonly consumer: string
}[] {
  const { channel, consumer, follow, transformed } = track
  return [
    { channel, consumer },
    ...(follow === null ? [] : [{ channel: follow, consumer: followConsumer(track) }]),
    ...(transformed === null ? [] : [transformed]),
  ]
}

export function followConsumer(track: Track): string {
  return `${track.consumer}.follow`
}

/** One of the track's keys; told apart from those of others. */
export function anyKey(track: Pick<Track, 'name'>, chance: () => number): string {
  return keyOf(track, 1 + Math.floor(chance() * keysPerTrack))
}

export function keysOf(track: Pick<Track, 'name'>): readonly string[] {
  return Array.from({ length: keysPerTrack }, (_, i) => keyOf(track, i + 1))
}

function keyOf({ name }: Pick<Track, 'name'>, number: number): string {
  return `${name} k${number}`
}
