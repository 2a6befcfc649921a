import { once } from 'node:events'
import { InvalidArgumentError, type Command } from 'commander'
import { resolveConfig, type WaybillConfig } from '../../app/config.ts'
import { durationOf } from '../../app/settings-value.ts'
import { assembleWaybill } from '../../app/create-waybill.ts'
import type { DrainReport } from '../../app/drain.ts'
import { WaybillError } from '../../kernel/errors.ts'
import type { MonitorDefinition } from '../../kernel/monitoring.ts'
import { httpMonitor } from '../../monitor/http.ts'
import type { RelayStatus } from '../../relay/relay.ts'
import { loadConfig } from '../config-file.ts'
import { drainText } from '../drain-text.ts'
import { exitCodes } from '../failure.ts'
import { listenForInterruption } from '../interruption.ts'
import { Output } from '../output.ts'
import { addSettingFlags, settingFlags } from '../settings-flags.ts'

interface RelayOptions extends Record<string, unknown> {
  readonly json?: boolean
  readonly config?: string
  readonly once?: boolean
  readonly timeLimit?: number
}

export function addRelay(program: Command, onExitCode: (code: number) => void): void {
  const command = program
    .command('relay')
    .description('move messages from the outbox to the brokers, until SIGTERM or Ctrl-C')
    .option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
    .option(
      '--once',
      'send what is there now, then end: with 0, or with 1 where something is left (for cron)',
    )
    .option('--time-limit <duration>', 'with --once: how long it may take (default: no limit)', duration)
    .addHelpText(
      'after',
      '\nSeveral relays share the work; one that is killed is replaced by the others.\n' +
        '\nWith --once it says what is left and why: delayed, tried again later, blocked, or held because the destination\n' +
        'takes nothing. It waits for none of these, and for a destination that is down no longer than a lease and a send\n' +
        'may take together (--lease-ms, --publish-timeout-ms). What is published meanwhile is left to the next run.\n' +
        '\nExamples:\n  $ waybill relay\n  $ waybill relay --lease-ms 5s --log-level warn\n' +
        '  $ waybill relay --once --time-limit 50s --json\n' +
        '  $ waybill relay --http-port 9464       serves /metrics, /healthz and /readyz to this machine\n',
    )
    .action(async (_own: unknown, self: Command) => {
      const options = self.optsWithGlobals<RelayOptions>()
      if (options.timeLimit !== undefined && options.once !== true)
        self.error('error: --time-limit goes with --once: without it a relay runs until it is stopped.')
      await relay(options, onExitCode)
    })
  addSettingFlags(command)
}

function duration(text: string): number {
  const ms = durationOf(text)
  if (ms === undefined) throw new InvalidArgumentError('It takes a time such as 50s, 10min or 2h.')
  return ms
}

async function relay(options: RelayOptions, onExitCode: (code: number) => void): Promise<void> {
  const output = new Output(options.json === true)
  const config = await loadConfig(options.config)
  const transports = Object.values(config.transports ?? {})
  if (transports.length > 0 && transports.every(({ capabilities }) => capabilities.isLocal)) {
    throw new WaybillError(
      'WB_INVALID_CONFIG',
      'There is nothing to relay: every transport of the configuration is local, and its consumers take messages from ' +
        'the outbox themselves. Start the service that consumes, or add a broker transport.',
    )
  }
  const ended: RelayStatus[] = []
  const waybill = assembleWaybill(
    resolveConfig(
      { ...config, relay: true, monitor: withHttp(config.monitor) },
      { flags: settingFlags(options), env: process.env },
    ),
    undefined,
    // Not before: what is under way ends while it stops, and counts.
    (part) => {
      if (part.kind === 'relay' && part.relay !== null) ended.push(part.relay)
    },
  )
  const interruption = listenForInterruption(() => {
    output.note('Stopping: what is under way ends first. Once more to stop at once.')
  })
  try {
    await waybill.start()
    if (options.once === true) {
      const report = await waybill.drain({
        signal: interruption.signal,
        ...(options.timeLimit === undefined ? {} : { limitMs: options.timeLimit }),
      })
      await waybill.stop()
      tellOnce(report, ended, output)
      onExitCode(interruption.exitCode() ?? (report.remains.length > 0 ? exitCodes.failed : 0))
      return
    }
    output.note('The relay is running. Stop it with Ctrl-C or SIGTERM.')
    if (!interruption.signal.aborted) await once(interruption.signal, 'abort')
    await waybill.stop()
    output.result({ relays: countersOf(ended) })
  } finally {
    await waybill[Symbol.asyncDispose]()
    interruption.dispose()
  }
}

/** A monitor that listens is built in: `--http-port` is enough, whatever the configuration has. */
function withHttp(monitor: WaybillConfig['monitor']): readonly MonitorDefinition[] {
  const monitors = [monitor ?? []].flat()
  return monitors.some(({ listens }) => listens) ? monitors : [...monitors, httpMonitor()]
}

function tellOnce(report: DrainReport, relays: readonly RelayStatus[], output: Output): void {
  const delivered = relays.reduce(
    (sum, { counters }) => sum + counters.confirmed + counters.taken - counters.lost,
    0,
  )
  output.say(drainText(report, delivered, output.page))
  output.result({ ...report, relays: countersOf(relays) })
}

function countersOf(relays: readonly RelayStatus[]): readonly object[] {
  return relays.map(({ lane, counters }) => ({ transport: lane.transport, ...counters }))
}
