import { durationText } from '../../guarantees/duration.ts'
import type { StatusSummary } from './summary.ts'

/** Something a person should look at. `code` is stable. */
export interface StatusWarning {
  readonly code:
    | 'not-counted'
    | 'partitions-without-owner'
    | 'nothing-delivered'
    | 'blocked-keys'
    | 'parked-keys'
    | 'dead-letters'
    | 'unregistered-channel'
    | 'unknown-channel'
    | 'exactly-once-stopped'
    | 'old-transaction'
    | 'prepared-transaction'
    | 'partitions-changing'
    | 'pooler'
  /** A `note` is worth knowing, and may be as it is meant to be. */
  readonly level: 'warning' | 'note'
  /** What it is about: a channel, a transport, a process. */
  readonly subject: string
  /** What is, in a sentence. */
  readonly message: string
  /** What to do about it, in a sentence. */
  readonly action: string
}

/** A due message that waits longer than this while nothing of its channel is delivered is not just unlucky. */
const stalledMs = 60_000

/** The most urgent first. Names come from outside: who prints them escapes them (S18). */
export function warningsOf(
  status: Omit<StatusSummary, 'warnings'>,
  known: ReadonlySet<string>,
): readonly StatusWarning[] {
  const warnings = [
    ...notCounted(status),
    ...unowned(status),
    ...stalled(status),
    ...stopped(status),
    ...strangers(status),
    ...failing(status),
    ...dead(status),
    ...old(status),
  ].map((warning) => ({ level: 'warning' as const, ...warning }))
  return [...warnings, ...notes(status, known)]
}

type Status = Omit<StatusSummary, 'warnings'>
type Untold = Omit<StatusWarning, 'level'>

function notCounted({ channels }: Status): Untold[] {
  if (channels?.some(({ isFailingAtLeast }) => isFailingAtLeast) === true) {
    return [
      {
        code: 'not-counted',
        subject: 'failing messages',
        message:
          'More has failed than is counted: how many messages are tried again, and how many keys wait for an operator, are lower limits for every channel.',
        action: 'Mend what most of them fail with: waybill keys list shows each with its cause.',
      },
    ]
  }
  if (channels !== null) return []
  return [
    {
      code: 'not-counted',
      subject: 'outbox',
      message: 'What waits in the outbox could not be counted within its time; nothing is known of it.',
      action:
        'Run it again; if it stays so, look for an old transaction below, and whether autovacuum comes to the outbox.',
    },
  ]
}

function unowned({ partitions }: Status): Untold[] {
  return partitions.flatMap(({ transport, consumer, total, unownedCount }) => {
    if (unownedCount === 0) return []
    const which =
      unownedCount === total ? `None of the ${total} partitions` : `${unownedCount} of ${total} partitions`
    const isOne = unownedCount === total || unownedCount === 1
    return [
      {
        code: 'partitions-without-owner' as const,
        subject: consumer === '' ? transport : `${transport} › ${consumer}`,
        message: `${which} of ${laneName(transport, consumer)} ${isOne ? 'has' : 'have'} a living owner: what is in ${unownedCount === total ? 'them' : 'those'} waits.`,
        action:
          consumer === ''
            ? 'Start a relay (waybill relay, or a service that runs one), or over "local" a service that consumes; of one that runs look at its log and /healthz.'
            : `Start the service that handles consumer "${consumer}"; if it has gone for good, waybill unsubscribe ${consumer}.`,
      },
    ]
  })
}

function stalled({ channels, partitions }: Status): Untold[] {
  return (channels ?? []).flatMap(
    ({ channel, transport, consumer, lagMs, perSecond, retrying, blocked, parked }) => {
      const isOwned = partitions.some(
        (lane) => lane.transport === transport && lane.consumer === consumer && lane.unownedCount === 0,
      )
      const isQuiet = perSecond === 0 && retrying + blocked + parked === 0
      if (!isOwned || !isQuiet || lagMs === null || lagMs < stalledMs) return []
      const held = heldUp(channels ?? [], partitions, transport, consumer)
      return [
        {
          code: 'nothing-delivered' as const,
          subject: channel,
          message: `The oldest message of channel "${channel}" is due since ${ageText(lagMs)}, and nothing of it is delivered.`,
          action:
            held ??
            'Look at the relay’s log and /healthz: is its transport reachable, and is the channel in its configuration?',
        },
      ]
    },
  )
}

/** What to do where blocked keys keep a lane in its older partitions: nobody reads the new ones until those have run dry. */
function heldUp(
  channels: NonNullable<Status['channels']>,
  partitions: Status['partitions'],
  transport: string | null,
  consumer: string,
): string | undefined {
  const isOf = (each: { readonly transport: string | null; readonly consumer: string }): boolean =>
    each.transport === transport && each.consumer === consumer
  if (!partitions.some((each) => each.isChanging && isOf(each))) return undefined
  const blocked = channels.filter((each) => each.blocked > 0 && isOf(each))
  if (blocked.length === 0) return undefined
  const keys = blocked.map((each) => `${counted(each.blocked, 'blocked key')} of channel "${each.channel}"`)
  return `It waits for ${keys.join(', ')}, which hold${blocked.length === 1 && blocked[0]!.blocked === 1 ? 's' : ''} the change of partitions up: waybill keys list --state blocked, then unblock or skip each.`
}

function stopped({ relays }: Status): Untold[] {
  return relays.flatMap(({ host, pid, transport, isAlive, report }) => {
    if (!isAlive || report === null || report.stopped.length === 0) return []
    return [
      {
        code: 'exactly-once-stopped' as const,
        subject: transport,
        message: `Exactly-once has stopped on partition ${report.stopped.join(', ')} of transport "${transport}" (${host}, pid ${pid}): database and broker do not fit.`,
        action:
          'The relay’s log says why (WB_FENCED_MISMATCH in the package’s docs/errors.md has the way out).',
      },
    ]
  })
}

function strangers({ channels }: Status): Untold[] {
  return (channels ?? []).flatMap(({ channel, transport, pending, delayed }) => {
    if (pending + delayed === 0 || transport !== null) return []
    return [
      {
        code: 'unregistered-channel' as const,
        subject: channel,
        message: `Messages wait on channel "${channel}", which nobody has registered: nobody moves them.`,
        action:
          'Add the channel to a configuration and run waybill migrate, or delete its rows from the outbox.',
      },
    ]
  })
}

/** Several services may share a store, so a channel of another one is no trouble; nor is a pooler, or a change under way. */
function notes({ channels, partitions, relays }: Status, known: ReadonlySet<string>): StatusWarning[] {
  const level = 'note'
  const unknown = (channels ?? [])
    .filter(({ channel, transport, pending, delayed }) => {
      return transport !== null && pending + delayed > 0 && !known.has(channel)
    })
    .map(
      ({ channel }) =>
        ({
          code: 'unknown-channel' as const,
          level,
          subject: channel,
          message: `Messages wait on channel "${channel}", which is registered and not in this configuration.`,
          action:
            'It may be another service’s. If it was removed here, put it back until its messages are delivered.',
        }) as const,
    )
  const changing = partitions
    .filter(({ isChanging }) => isChanging)
    .map((lane) => ({
      ...lane,
      held: heldUp(channels ?? [], partitions, lane.transport, lane.consumer),
    }))
    .map(
      ({ transport, consumer, held }) =>
        ({
          code: 'partitions-changing' as const,
          level: held === undefined ? level : 'warning',
          subject: transport,
          message: `The number of partitions of ${laneName(transport, consumer)} is being changed: old ones run dry first.`,
          action:
            held ??
            'If nobody is at it any more, run waybill migrate --partitions again with the same number: it goes on.',
        }) as const,
    )
  const pooled = relays.filter(({ isAlive, isPooled }) => isAlive && isPooled)
  if (pooled.length === 0) return [...unknown, ...changing]
  return [
    ...unknown,
    ...changing,
    {
      code: 'pooler',
      level,
      subject: 'pooler',
      message: `${counted(pooled.length, 'relay')} ${pooled.length === 1 ? 'reaches' : 'reach'} the database through a pooler: if one dies its partitions wait until its leases end.`,
      action: 'Give postgresStore a directConnectionString that leads past the pooler.',
    },
  ]
}

function failing({ channels }: Status): Untold[] {
  return (channels ?? []).flatMap(({ channel, blocked, parked, isFailingAtLeast }) => {
    const limit = isFailingAtLeast ? 'At least ' : ''
    const warnings: Untold[] = []
    if (blocked > 0) {
      warnings.push({
        code: 'blocked-keys',
        subject: channel,
        message: `${limit}${counted(blocked, 'key')} of channel "${channel}" ${blocked === 1 ? 'waits' : 'wait'} for an operator.`,
        action: `See them with waybill keys list --channel ${channel}; then unblock or skip each.`,
      })
    }
    if (parked > 0) {
      warnings.push({
        code: 'parked-keys',
        subject: channel,
        message: `${limit}${counted(parked, 'key')} of channel "${channel}" ${parked === 1 ? 'is' : 'are'} parked among the dead letters.`,
        action: `See them with waybill keys list --channel ${channel}; then waybill dead replay --channel ${channel} --key … brings one back in its order.`,
      })
    }
    return warnings
  })
}

function dead({ channels, brokerDead }: Status): Untold[] {
  const counts = new Map<string, number>()
  for (const { channel, dead: count } of channels ?? [])
    counts.set(channel, (counts.get(channel) ?? 0) + count)
  for (const { channel, count } of brokerDead) counts.set(channel, (counts.get(channel) ?? 0) + count)
  // One look for all of them.
  const isCut =
    brokerDead.some((each) => each.isAtLeast) || channels?.some((each) => each.isDeadAtLeast) === true
  return [...counts].flatMap(([channel, count]) =>
    count === 0
      ? []
      : [
          {
            code: 'dead-letters' as const,
            subject: channel,
            message: `Channel "${channel}" has ${isCut ? 'at least ' : ''}${counted(count, 'dead letter')}.`,
            action: `See why with waybill dead list --channel ${channel}; then waybill dead replay or waybill dead purge, with --id.`,
          },
        ],
  )
}

function old({ transactions }: Status): Untold[] {
  return transactions.map(({ kind, name, pid, ageMs, hasWritten }) => {
    const age = ageText(ageMs)
    const harm = hasWritten
      ? 'what it published waits for it, as do its keys, and vacuum is held back'
      : 'vacuum is held back, and reads of the outbox get slower'
    if (kind === 'prepared') {
      return {
        code: 'prepared-transaction' as const,
        subject: name,
        message: `The prepared transaction "${name}" waits for its decision since ${age}: ${harm}.`,
        action: 'Decide it: COMMIT PREPARED or ROLLBACK PREPARED with its name.',
      }
    }
    return {
      code: 'old-transaction' as const,
      subject: `pid ${pid}`,
      message: `A transaction of "${name}" (pid ${pid}) is open since ${age}: ${harm}.`,
      action: `End it where it was begun, or with select pg_terminate_backend(${pid}).`,
    }
  })
}

function laneName(transport: string, consumer: string): string {
  return consumer === '' ? `transport "${transport}"` : `consumer "${consumer}" (${transport})`
}

function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`
}

/** An age for people: with a tenth of a second up to ten seconds, without from there on. */
export function ageText(ms: number): string {
  const unit = ms < 10_000 ? 100 : 1000
  return durationText(Math.round(ms / unit) * unit)
}
