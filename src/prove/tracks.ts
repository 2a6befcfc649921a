import { guarantees } from '../guarantees/guarantees.ts'
import { type Channel, defineChannel, type Guarantee } from '../index.ts'
import { keysPerTrack } from './settings.ts'

/** What a message of the load says. */
export interface Load {
  /** Keys of one writer's making; of each the messages are numbered in the order of their commits. */
  readonly key: string
  readonly seq: number
  /** Moved from the key's first account to its second. */
  readonly amount: number
  /** A text that must be in no log. */
  readonly canary: string
}

/** What a handler publishes of each message it handles. */
export interface Follow {
  readonly key: string
  /** The id of the message that was handled. */
  readonly of: string
}

/** One way to keep a guarantee: a channel, and how it is consumed. All of them run side by side, under the same faults. */
export interface Track {
  readonly name: Guarantee
  readonly guarantee: Guarantee
  readonly channel: Channel<Load>
  readonly consumer: string
  /** Its handlers publish, and where to. */
  readonly follow: Channel<Follow, Follow, true, false> | null
}

/** The tracks of a run whose topics and groups bear this id. */
export function tracksOf(id: string, chosen: readonly Guarantee[]): readonly Track[] {
  return guarantees
    .filter((guarantee) => chosen.includes(guarantee))
    .map((guarantee) => ({
      name: guarantee,
      guarantee,
      channel: defineChannel<Load>({
        name: `prove.${guarantee}`,
        guarantee,
        address: `${id}.${guarantee}`,
        key: ({ key }) => key,
      }),
      consumer: `${id}.${guarantee}`,
      follow:
        guarantee === 'exactly-once'
          ? defineChannel<Follow>({
              name: `prove.${guarantee}.follow`,
              guarantee,
              address: `${id}.${guarantee}.follow`,
              key: ({ key }) => key,
            })
          : null,
    }))
}

export function followConsumer(track: Track): string {
  return `${track.consumer}.follow`
}

/** One of the track's keys; told apart from those of others. */
export function anyKey(track: Pick<Track, 'name'>, chance: () => number): string {
  return `${track.name} k${1 + Math.floor(chance() * keysPerTrack)}`
}
