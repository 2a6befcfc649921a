import type { Proxy, ReplyMatch } from '../proxy.ts'
import type { ActiveFault, Fault } from './fault.ts'

/** The server does what it was asked and its reply is lost, with the connection; again and again until it is healed. */
export function lostReplyFault(name: string, proxy: Proxy, match: ReplyMatch): Fault {
  return {
    name,
    async inject(): Promise<ActiveFault> {
      let [lost, isOver] = [0, false]
      const drop = (): void => {
        void proxy.dropReplies(match).then(() => {
          lost += 1
          if (!isOver) drop()
        })
      }
      drop()
      return {
        get hasStruck() {
          return lost > 0
        },
        async heal() {
          isOver = true
          await proxy.heal()
        },
      }
    },
  }
}

/** PostgreSQL has committed, and whoever asked is not told (F2): the outcome is unknown to it. */
export function lostCommitFault(link: string, proxy: Proxy): Fault {
  // The tag of CommandComplete: `C`, a length, the text, a zero byte.
  const committed = Buffer.from('COMMIT\0')
  return lostReplyFault(`lost commit ${link}`, proxy, { reply: (chunk) => chunk.includes(committed) })
}

/** Kafka has the records, and the producer is not told (F7): whether they were written is unknown to it. */
export function lostProduceFault(link: string, proxy: Proxy): Fault {
  // A request begins with its length and the number of the API; 0 is Produce.
  const isProduce = (chunk: Buffer): boolean => chunk.length >= 6 && chunk.readInt16BE(4) === 0
  return lostReplyFault(`lost produce ${link}`, proxy, { request: isProduce })
}
