import { withDeadline } from '../kernel/deadline.ts'
import type { LeaseSession } from '../ports/leases.ts'
import type { Outbox, OutboxRow } from '../ports/outbox.ts'
import type { Calls } from './calls.ts'
import type { MindOptions } from './mind/types.ts'
import type { FencedSender, OnceSender, Sender } from './sender.ts'

/** Beyond the time-out that a transport keeps itself: one that does not cannot hold the relay for ever. */
const graceMs = 500

/** Everybody a relay asks, so that each call ends, and what hangs can be named. */
export function peersOf(
  options: {
    readonly sender: Sender
    readonly once?: OnceSender
    readonly fenced?: FencedSender
    readonly mind: Pick<MindOptions, 'sendTimeoutMs'>
  },
  outbox: Outbox,
  calls: Calls,
): {
  readonly outbox: Outbox
  readonly sender: Sender
  readonly hands: { readonly once?: OnceSender; readonly fenced?: FencedSender }
} {
  const { sender, once, fenced, mind } = options
  return {
    outbox: notedOutbox(outbox, calls),
    sender: boundedSender(sender, calls),
    hands: {
      ...(once === undefined ? {} : { once: boundedOnce(once, calls) }),
      ...(fenced === undefined ? {} : { fenced: boundedFenced(fenced, calls, mind.sendTimeoutMs) }),
    },
  }
}

function bounded<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  return withDeadline(work, timeoutMs + graceMs, 'the transport')
}

function sending(rows: readonly OutboxRow[]): string {
  return `sending messages of channel "${rows[0]?.channel ?? ''}"`
}

/** The store keeps its time-outs itself: each of its calls ends by them. */
function notedOutbox(outbox: Outbox, calls: Calls): Outbox {
  const repeated = <T>(what: string, work: () => Promise<T>): Promise<T> =>
    calls.repeated('database', what, work)
  return {
    read: (request) => repeated('reading the outbox', () => outbox.read(request)),
    readNews: (request) => repeated('reading the outbox', () => outbox.readNews(request)),
    remove: (rows) => repeated('deleting delivered messages', () => outbox.remove(rows)),
    block: (lines) => repeated('writing what failed', () => outbox.block(lines)),
    bury: (letters) => repeated('writing dead letters', () => outbox.bury(letters)),
    moveFollowers: (rows) =>
      repeated('moving what stands behind a parked message', () => outbox.moveFollowers(rows)),
    lose: (rows) => repeated('deleting lost messages', () => outbox.lose(rows)),
    take: (batch, rows) => repeated('taking messages', () => outbox.take(batch, rows)),
    endTaken: (batch, losses) =>
      repeated('noting the end of taken messages', () => outbox.endTaken(batch, losses)),
    fencedStates: (partitions) =>
      repeated('reading what was sent exactly once', () => outbox.fencedStates(partitions)),
    removeFenced: (partition, note, rows) =>
      repeated('deleting what was sent exactly once', () => outbox.removeFenced(partition, note, rows)),
    close: () => outbox.close(),
  }
}

/** None of its calls is tried again: where one fails the session is lost, which the relay is told. */
export function notedSession(session: LeaseSession, calls: Calls): LeaseSession {
  const noted = <T>(what: string, work: () => Promise<T>): Promise<T> => calls.noted('database', what, work)
  return {
    relayId: session.relayId,
    renew: (held, isLeaving, report) =>
      noted('renewing leases', () => session.renew(held, isLeaving, report)),
    claim: (most) => noted('claiming partitions', () => session.claim(most)),
    survey: () => noted('looking at the lane', () => session.survey()),
    release: (held) => noted('releasing leases', () => session.release(held)),
    close: () => session.close(),
  }
}

function boundedSender(sender: Sender, calls: Calls): Sender {
  return {
    send: (rows, timeoutMs) =>
      calls.noted('transport', sending(rows), () => bounded(sender.send(rows, timeoutMs), timeoutMs)),
  }
}

function boundedOnce(once: OnceSender, calls: Calls): OnceSender {
  return {
    ...(once.isReady === undefined
      ? {}
      : {
          isReady: (channel, timeoutMs) =>
            calls.noted('transport', `asking for the destination of channel "${channel}"`, () =>
              bounded(once.isReady!(channel, timeoutMs), timeoutMs),
            ),
        }),
    ...(once.flush === undefined
      ? {}
      : {
          flush: (timeoutMs) =>
            calls.noted('transport', 'waiting until what was sent once is out of the way', () =>
              bounded(once.flush!(timeoutMs), timeoutMs),
            ),
        }),
    send: (rows, timeoutMs, epochs) =>
      calls.noted('transport', sending(rows), () => bounded(once.send(rows, timeoutMs, epochs), timeoutMs)),
  }
}

function boundedFenced(fenced: FencedSender, calls: Calls, releaseMs: number): FencedSender {
  return {
    takeOver: (partition, timeoutMs) =>
      calls.repeated('transport', 'taking partitions over at the broker', () =>
        bounded(fenced.takeOver(partition, timeoutMs), timeoutMs),
      ),
    release: (partition) =>
      calls.noted('transport', 'releasing partitions at the broker', () =>
        bounded(fenced.release(partition), releaseMs),
      ),
    publish: (partition, note, rows, timeoutMs) =>
      calls.noted('transport', sending(rows), () =>
        bounded(fenced.publish(partition, note, rows, timeoutMs), timeoutMs),
      ),
  }
}
