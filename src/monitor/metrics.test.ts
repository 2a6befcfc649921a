import { channel, hasSubscribers } from 'node:diagnostics_channel'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { CensusLane, CensusReport } from '../kernel/census.ts'
import type { DiagnosticEvents, DiagnosticName } from '../kernel/diagnostics.ts'
import { silentLogger } from '../kernel/logger.ts'
import type { MonitorSource } from '../kernel/monitoring.ts'
import { metricNames, metricOf, prometheusName } from './metrics-table.ts'
import { PrometheusMetrics } from './prometheus.ts'
import { startRecording } from './recording.ts'
import { StoreFigures } from './store-figures.ts'

const lane = { transport: 'kafka', consumer: '' }

function tell<Name extends DiagnosticName>(name: Name, event: DiagnosticEvents[Name]): void {
  channel(name).publish(event)
}

function laneOf(more: Partial<CensusLane> = {}): CensusLane {
  const none = {
    pending: 0,
    delayed: 0,
    isAtLeast: false,
    oldestMs: null,
    retrying: 0,
    blocked: 0,
    parked: 0,
    isFailingAtLeast: false,
  }
  return { channel: 'orders', transport: 'kafka', consumer: '', ...none, ...more }
}

function report(more: Partial<CensusReport> = {}): CensusReport {
  const none = {
    dead: [],
    relays: [],
    partitions: [],
    taken: 0,
    isTakenAtLeast: false,
    losses: [],
    transactions: [],
  }
  return { at: new Date(0), lanes: [laneOf()], ...none, ...more }
}

interface Scene {
  readonly metrics: PrometheusMetrics
  /** Lines with a value, without help and type. */
  lines(): Promise<string[]>
  looks: number
  now: number
}

function scene(census: () => Promise<CensusReport> = async () => report()): Scene {
  const source: MonitorSource = {
    channels: [{ name: 'orders', system: 'kafka', address: 'shop.orders' }],
    consumers: ['shipping'],
    census: () => {
      own.looks += 1
      return census()
    },
    checks: () => [],
    notReady: () => null,
    logger: silentLogger,
  }
  const metrics = new PrometheusMetrics(new StoreFigures({ source, now: () => own.now }))
  const own: Scene = {
    metrics,
    looks: 0,
    now: 0,
    lines: async () =>
      (await metrics.render()).split('\n').filter((line) => line !== '' && !line.startsWith('#')),
  }
  onTestFinished(startRecording(metrics, source))
  return own
}

describe('metrics of the process', () => {
  it('count what relays send by the conventions for messaging, and how long it took', async () => {
    const { lines } = scene()
    const sent = { lane, channel: 'orders', durationMs: 20, traces: () => [] }
    tell('waybill.relay.sent', { ...sent, confirmed: 100, rejected: 0, unknown: 0, code: null })
    tell('waybill.relay.sent', { ...sent, confirmed: 10, rejected: 2, unknown: 3, code: 'WB_TIMED_OUT' })
    const wire =
      'messaging_system="kafka",messaging_operation_name="send",messaging_destination_name="shop.orders"'
    expect(await lines()).toEqual(
      expect.arrayContaining([
        `messaging_client_sent_messages_total{${wire}} 110`,
        `messaging_client_sent_messages_total{${wire},error_type="WB_TIMED_OUT"} 5`,
        `messaging_client_operation_duration_seconds_count{${wire}} 1`,
        `messaging_client_operation_duration_seconds_sum{${wire}} 0.02`,
      ]),
    )
  })

  it('take the running of local handlers for no send', async () => {
    const { lines } = scene()
    const local = { transport: 'local', consumer: 'shipping' }
    const all = { confirmed: 1, rejected: 0, unknown: 0, code: null }
    tell('waybill.relay.sent', { lane: local, channel: 'orders', durationMs: 1, ...all, traces: () => [] })
    tell('waybill.consumer.handled', { consumer: 'shipping', channel: 'orders', count: 3 })
    const found = await lines()
    expect(found.filter((line) => line.startsWith('messaging_client_sent'))).toEqual([])
    expect(found).toContain(
      'messaging_client_consumed_messages_total{messaging_system="kafka",messaging_operation_name="process",' +
        'messaging_destination_name="shop.orders",messaging_consumer_group_name="shipping"} 3',
    )
  })

  it('follow leases, holds, reads and failures', async () => {
    const { lines } = scene()
    tell('waybill.relay.leases', { lane, change: 'gained', count: 4, held: 4 })
    tell('waybill.relay.leases', { lane, change: 'lost', count: 1, held: 3 })
    tell('waybill.relay.held', { lane, channel: 'orders', isHeld: true })
    tell('waybill.relay.read', { lane, count: 7, durationMs: 2, code: null })
    tell('waybill.relay.retried', { lane, channel: 'orders', count: 2, code: 'E' })
    tell('waybill.relay.blocked', { lane, channel: 'orders', count: 2, code: 'E' })
    tell('waybill.relay.dead', { lane, channel: 'orders', count: 1, reason: 'rejected', code: 'E' })
    tell('waybill.consumer.failed', { consumer: 'shipping', channel: 'orders', code: 'E' })
    expect(await lines()).toEqual(
      expect.arrayContaining([
        'waybill_relay_partitions{transport="kafka",consumer=""} 3',
        'waybill_relay_lost_leases_total{transport="kafka",consumer=""} 1',
        'waybill_relay_held{channel="orders",consumer=""} 1',
        'waybill_relay_read_messages_total{transport="kafka",consumer=""} 7',
        'waybill_relay_retries_total{channel="orders",consumer="",error_type="E"} 2',
        'waybill_relay_blocked_total{channel="orders",consumer="",error_type="E"} 2',
        'waybill_relay_dead_letters_total{channel="orders",consumer="",reason="rejected"} 1',
        'waybill_consumer_failures_total{channel="orders",consumer="shipping",error_type="E"} 1',
      ]),
    )
  })

  it('keep every label to a bounded number of values (S13)', async () => {
    const { lines } = scene()
    for (let i = 0; i < 500; i++) {
      tell('waybill.outbox.published', { channel: `made-up-${i}`, count: 1 })
      tell('waybill.consumer.failed', { consumer: `c-${i}`, channel: 'orders', code: `CODE_${i}` })
      tell('waybill.consumer.dead', { consumer: 'shipping', channel: 'orders', code: `has a secret ${i}` })
    }
    const found = await lines()
    expect(found).toContain('waybill_published_messages_total{channel="other"} 500')
    expect(found.filter((line) => line.startsWith('waybill_consumer_failures')).length).toBeLessThanOrEqual(
      202,
    )
    expect(found).toContain(
      'waybill_consumer_dead_letters_total{channel="orders",consumer="shipping",error_type="_OTHER"} 500',
    )
    expect(found.join('\n')).not.toContain('secret')
  })

  it('end with the recording: nobody listens any more, and an unheard event costs its maker one look', () => {
    const stop = startRecording(
      { record: () => {} },
      {
        channels: [],
        consumers: [],
        census: null,
        checks: () => [],
        notReady: () => null,
        logger: silentLogger,
      },
    )
    expect(hasSubscribers('waybill.relay.sent')).toBe(true)
    stop()
    expect(hasSubscribers('waybill.relay.sent')).toBe(false)
  })

  it('survive an event they cannot read', async () => {
    const { lines } = scene()
    channel('waybill.relay.leases').publish(null)
    tell('waybill.cleanup.purged', { count: 2 })
    expect(await lines()).toContain('waybill_cleanup_rows_total 2')
  })
})

describe('metrics of the store', () => {
  it('tell lag, counts and owners', async () => {
    const { lines } = scene(async () =>
      report({
        lanes: [
          laneOf({
            pending: 5,
            oldestMs: 2500,
            retrying: 1,
            blocked: 2,
            parked: 3,
            delayed: 4,
            isAtLeast: true,
          }),
        ],
        dead: [{ channel: 'orders', consumer: 'shipping', count: 6, isAtLeast: false }],
        partitions: [{ ...lane, total: 16, isChanging: false, unownedCount: 2, unowned: [1, 2] }],
        transactions: [{ kind: 'session', name: 'n', pid: 1, ageMs: 90_000, hasWritten: true }],
      }),
    )
    const own = 'channel="orders",consumer=""'
    expect(await lines()).toEqual(
      expect.arrayContaining([
        'waybill_store_up 1',
        `waybill_outbox_lag_seconds{${own}} 2.5`,
        `waybill_outbox_pending{${own}} 5`,
        `waybill_outbox_truncated{${own}} 1`,
        `waybill_outbox_delayed{${own}} 4`,
        `waybill_outbox_retrying{${own}} 1`,
        `waybill_outbox_blocked_keys{${own}} 2`,
        `waybill_outbox_parked_keys{${own}} 3`,
        `waybill_dead_letters{${own}} 0`,
        'waybill_dead_letters{channel="orders",consumer="shipping"} 6',
        'waybill_partitions_unowned{transport="kafka",consumer=""} 2',
        'waybill_transactions_oldest_seconds 90',
      ]),
    )
  })

  it('do not say that a channel has no dead letters where only the newest of all were looked at', async () => {
    const dead = [{ channel: 'others', consumer: '', count: 20_000, isAtLeast: true }]
    const { lines } = scene(async () => report({ lanes: [laneOf()], dead }))
    const letters = (await lines()).filter((line) => line.startsWith('waybill_dead_letters{'))
    expect(letters).toHaveLength(1)
    expect(letters[0]).toContain('20000')
  })

  it('say where more has failed than was looked at, and not that a channel has none', async () => {
    const { lines } = scene(async () => report({ lanes: [laneOf({ retrying: 7, isFailingAtLeast: true })] }))
    const found = await lines()
    const own = 'channel="orders",consumer=""'
    expect(found).toEqual(
      expect.arrayContaining([`waybill_outbox_truncated{${own}} 1`, `waybill_outbox_retrying{${own}} 7`]),
    )
    expect(found.filter((line) => /_(?:blocked|parked)_keys\{/u.test(line))).toEqual([])
  })

  it('are looked for once in five seconds, however many ask', async () => {
    const own = scene()
    await Promise.all([own.lines(), own.lines(), own.lines()])
    own.now = 4999
    await own.lines()
    expect(own.looks).toBe(1)
    own.now = 5000
    await own.lines()
    expect(own.looks).toBe(2)
  })

  it('are looked for at most a tenth of the time where a look is dear', async () => {
    const own = scene(async () => {
      own.now += 3000
      return report()
    })
    await own.lines()
    own.now = 29_999
    await own.lines()
    expect(own.looks).toBe(1)
    own.now = 30_000
    await own.lines()
    expect(own.looks).toBe(2)
  })

  it('vanish, but for the one that says so, when the store does not answer', async () => {
    let isDown = false
    const own = scene(async () => {
      if (isDown) throw new Error('postgres://user:canary@host/db is down')
      return report()
    })
    expect((await own.lines()).some((line) => line.startsWith('waybill_outbox_lag'))).toBe(true)
    isDown = true
    own.now = 10_000
    const found = await own.lines()
    expect(found).toContain('waybill_store_up 0')
    expect(found.some((line) => line.startsWith('waybill_outbox_lag'))).toBe(false)
    expect(found.join('\n')).not.toContain('canary')
  })

  it('put channels that the configuration does not have together', async () => {
    const { lines } = scene(async () =>
      report({
        lanes: [
          laneOf({ channel: 'a', pending: 1, oldestMs: 9000 }),
          laneOf({ channel: 'b', pending: 2, oldestMs: 3000 }),
        ],
      }),
    )
    expect(await lines()).toEqual(
      expect.arrayContaining([
        'waybill_outbox_pending{channel="other",consumer=""} 3',
        'waybill_outbox_lag_seconds{channel="other",consumer=""} 9',
      ]),
    )
  })
})

it('each metric is registered under its own name, with its help', async () => {
  const { metrics } = scene()
  const text = await metrics.render()
  for (const name of metricNames) {
    expect(text).toContain(`# HELP ${prometheusName(name)} `)
    expect(text).toContain(`# TYPE ${prometheusName(name)} ${metricOf(name).kind}`)
  }
})
