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
  return lostReplyFault(`lost produce ${link}`, proxy, { request: isAnsweredProduce })
}

/**
 * Whether a chunk begins with a Produce request that the broker answers: with `acks=0` it does not, and the next reply is another's.
 * Length, API (0), version, correlation id, client id; from version 9 on tagged fields and compact strings (KIP-482); transactional id,
 * acks.
 */
export function isAnsweredProduce(chunk: Buffer): boolean {
  try {
    if (chunk.readInt16BE(4) !== 0) return false
    const isCompact = chunk.readInt16BE(6) >= 9
    let at = 14 + Math.max(0, chunk.readInt16BE(12))
    if (isCompact) {
      // No tagged field. The id's length is a varint, one more than it is, and 0 where there is none.
      at += 1
      let [length, shift] = [0, 0]
      do {
        length |= (chunk.readUInt8(at) & 0x7f) << shift
        shift += 7
      } while ((chunk.readUInt8(at++) & 0x80) !== 0)
      at += Math.max(0, length - 1)
    } else at += 2 + Math.max(0, chunk.readInt16BE(at))
    return chunk.readInt16BE(at) !== 0
  } catch {
    // Too short to be one, or cut.
    return false
  }
}
