import type { RelayReport } from '../kernel/census.ts'
import { diagnostic, type TraceHeaders } from '../kernel/diagnostics.ts'
import type { Lane } from '../ports/lane.ts'
import type { Loss, OutboxRow } from '../ports/outbox.ts'
import type { Fate } from '../ports/transport.ts'
import type { FailingChannel } from './mind/types.ts'
import type { OnceResult } from './sender.ts'

/** Whether a relay does its work, for health: ages in milliseconds. */
export interface RelayVitals {
  /** Since the lease session last answered, or since the start. */
  readonly leasesAnsweredAgoMs: number
  /** Of the error the lease session was lost with, until it answers again. */
  readonly leaseFailure: string | null
  /** Since the last read that was answered; `null` before the first. */
  readonly readAnsweredAgoMs: number | null
  /** Channels whose destination fails for everyone. */
  readonly failing: readonly FailingDestination[]
  /** Messages handed to the transport and not answered yet, by channel. */
  readonly inFlight: Readonly<Record<string, number>>
}

/** A destination that is left alone after failing for everyone, or is probed. */
export interface FailingDestination {
  readonly channel: string
  /** Of the last error. */
  readonly code: string
  /** Sends in a row that failed for everything in them. */
  readonly failures: number
  /** Until the next probe; 0 while there is one. */
  readonly retryInMs: number
}

interface ChannelTraffic {
  underway: number
  delivered: number
  /** `delivered` at the last report. */
  reported: number
}

const readEvents = diagnostic('waybill.relay.read')
const sentEvents = diagnostic('waybill.relay.sent')
const retriedEvents = diagnostic('waybill.relay.retried')
const blockedEvents = diagnostic('waybill.relay.blocked')
const deadEvents = diagnostic('waybill.relay.dead')
const lostEvents = diagnostic('waybill.relay.lost')
const heldEvents = diagnostic('waybill.relay.held')
const leaseEvents = diagnostic('waybill.relay.leases')

/** Trace headers as `outbox/trace-context.ts` writes them where the W3C propagators are registered. */
const traceHeaders = ['traceparent', 'tracestate'] as const

/**
 * Watches what the driver of a relay does: tells it on the diagnostics channels, and keeps what health and the relay's own
 * report need. A few numbers for each batch; it decides nothing.
 */
export class RelayWatch {
  readonly #lane: Lane
  /** Of the lane's own channels: bounded by the configuration (S13). */
  readonly #channels = new Map<string, ChannelTraffic>()
  #failing: readonly FailingChannel[] = []
  #leasesAnsweredAt: number
  #leaseFailure: string | null = null
  #readIssuedAt: number | null = null
  #readAnsweredAt: number | null = null
  #reportedAt: number

  constructor(lane: Lane, channels: Iterable<string>, now: number) {
    this.#lane = lane
    this.#leasesAnsweredAt = now
    this.#reportedAt = now
    for (const name of channels) this.#channels.set(name, { underway: 0, delivered: 0, reported: 0 })
  }

  leasesAnswered(now: number): void {
    this.#leasesAnsweredAt = now
    this.#leaseFailure = null
  }

  leasesFailed(code: string): void {
    this.#leaseFailure = code
  }

  leasesChanged(change: 'gained' | 'released' | 'lost', count: number, held: number): void {
    if (count > 0 && leaseEvents.hasSubscribers)
      leaseEvents.publish({ lane: this.#lane, change, count, held })
  }

  readIssued(now: number): void {
    this.#readIssuedAt = now
  }

  readEnded(count: number, code: string | null, now: number): void {
    const durationMs = now - (this.#readIssuedAt ?? now)
    this.#readIssuedAt = null
    if (code === null) this.#readAnsweredAt = now
    if (readEvents.hasSubscribers) readEvents.publish({ lane: this.#lane, count, durationMs, code })
  }

  sendStarted(channel: string, count: number): void {
    const traffic = this.#channels.get(channel)
    if (traffic !== undefined) traffic.underway += count
  }

  sendEnded(channel: string, rows: readonly OutboxRow[], fates: readonly Fate[], durationMs: number): void {
    const code = fates.find((fate) => fate.outcome !== 'confirmed')?.code ?? null
    const count = (outcome: Fate['outcome']): number =>
      fates.filter((fate) => fate.outcome === outcome).length
    const confirmed = code === null ? fates.length : count('confirmed')
    const rejected = code === null ? 0 : count('rejected')
    this.#ended(channel, rows, {
      confirmed,
      rejected,
      unknown: fates.length - confirmed - rejected,
      code,
      durationMs,
    })
  }

  /** The one send of what was taken. */
  dispatchEnded(
    channel: string,
    rows: readonly OutboxRow[],
    results: readonly OnceResult[],
    durationMs: number,
  ): void {
    const failed = results.filter((result) => result !== null)
    const confirmed = results.length - failed.length
    const code = failed[0]?.code ?? null
    this.#ended(channel, rows, { confirmed, rejected: failed.length, unknown: 0, code, durationMs })
  }

  lost(losses: readonly Pick<Loss, 'channel' | 'cause'>[]): void {
    if (!lostEvents.hasSubscribers) return
    for (const { channel, cause, count } of grouped(losses, ({ channel, cause }) => ({ channel, cause })))
      lostEvents.publish({ lane: this.#lane, channel, cause, count })
  }

  retried(lines: readonly { readonly channel: string; readonly errorCode: string }[]): void {
    if (!retriedEvents.hasSubscribers) return
    for (const group of grouped(lines, ({ channel, errorCode }) => ({ channel, code: errorCode })))
      retriedEvents.publish({ lane: this.#lane, ...group })
  }

  blocked(lines: readonly { readonly channel: string; readonly errorCode: string }[]): void {
    if (!blockedEvents.hasSubscribers) return
    for (const group of grouped(lines, ({ channel, errorCode }) => ({ channel, code: errorCode })))
      blockedEvents.publish({ lane: this.#lane, ...group })
  }

  died(
    letters: readonly { readonly channel: string; readonly reason: string; readonly errorCode: string }[],
  ): void {
    if (!deadEvents.hasSubscribers) return
    const groups = grouped(letters, ({ channel, reason, errorCode }) => ({
      channel,
      reason,
      code: errorCode,
    }))
    for (const group of groups) deadEvents.publish({ lane: this.#lane, ...group })
  }

  /** The channels that fail for everyone now. */
  held(failing: readonly FailingChannel[]): void {
    if (failing.length === 0 && this.#failing.length === 0) return
    if (heldEvents.hasSubscribers) {
      const [before, now] = [this.#failing, failing].map(
        (list) => new Set(list.map(({ channel }) => channel)),
      )
      for (const channel of new Set([...now!, ...before!])) {
        const isHeld = now!.has(channel)
        if (isHeld !== before!.has(channel)) heldEvents.publish({ lane: this.#lane, channel, isHeld })
      }
    }
    this.#failing = failing
  }

  vitals(now: number): RelayVitals {
    return {
      leasesAnsweredAgoMs: now - this.#leasesAnsweredAt,
      leaseFailure: this.#leaseFailure,
      readAnsweredAgoMs: this.#readAnsweredAt === null ? null : now - this.#readAnsweredAt,
      failing: this.#failing.map(({ channel, code, failures, heldUntil }) => ({
        channel,
        code,
        failures,
        retryInMs: Math.max((heldUntil ?? now) - now, 0),
      })),
      inFlight: this.#underway(),
    }
  }

  /** What other processes are told; rates are since the last report. */
  report(now: number, stopped: readonly number[]): RelayReport {
    const seconds = Math.max(now - this.#reportedAt, 1) / 1000
    this.#reportedAt = now
    const perSecond: Record<string, number> = {}
    for (const [name, traffic] of this.#channels) {
      const count = traffic.delivered - traffic.reported
      traffic.reported = traffic.delivered
      if (count > 0) perSecond[name] = Math.round((count / seconds) * 10) / 10
    }
    return { inFlight: this.#underway(), perSecond, stopped }
  }

  #underway(): Record<string, number> {
    const busy = [...this.#channels].filter(([, { underway }]) => underway > 0)
    return Object.fromEntries(busy.map(([name, { underway }]) => [name, underway]))
  }

  #ended(
    channel: string,
    rows: readonly OutboxRow[],
    result: {
      readonly confirmed: number
      readonly rejected: number
      readonly unknown: number
      readonly code: string | null
      readonly durationMs: number
    },
  ): void {
    const traffic = this.#channels.get(channel)
    if (traffic !== undefined) {
      traffic.underway -= rows.length
      traffic.delivered += result.confirmed
    }
    if (!sentEvents.hasSubscribers) return
    sentEvents.publish({ lane: this.#lane, channel, ...result, traces: (most) => tracesOf(rows, most) })
  }
}

function tracesOf(rows: readonly OutboxRow[], most: number): readonly TraceHeaders[] {
  const traces: TraceHeaders[] = []
  for (const { headers } of rows) {
    if (traces.length >= most) break
    if (headers['traceparent'] === undefined) continue
    const entries = traceHeaders.flatMap((name) =>
      headers[name] === undefined ? [] : [[name, headers[name]] as const],
    )
    traces.push(Object.fromEntries(entries))
  }
  return traces
}

function grouped<Item, Group extends object>(
  items: readonly Item[],
  of: (item: Item) => Group,
): readonly (Group & { readonly count: number })[] {
  const groups = new Map<string, Group & { count: number }>()
  for (const item of items) {
    const group = of(item)
    const name = JSON.stringify(group)
    const known = groups.get(name)
    if (known === undefined) groups.set(name, { ...group, count: 1 })
    else known.count += 1
  }
  return [...groups.values()]
}
