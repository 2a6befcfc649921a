import { once } from 'node:events'
import type { Command } from 'commander'
import type { WaybillConfig } from '../../app/config.ts'
import { createWaybill } from '../../app/waybill.ts'
import { WaybillError } from '../../kernel/errors.ts'
import type { MonitorDefinition } from '../../kernel/monitoring.ts'
import { httpMonitor } from '../../monitor/http.ts'
import { loadConfig } from '../config-file.ts'
import { listenForInterruption } from '../interruption.ts'
import { Output } from '../output.ts'
import { addSettingFlags, settingFlags } from '../settings-flags.ts'

interface RelayOptions extends Record<string, unknown> {
  readonly json?: boolean
  readonly config?: string
}

export function addRelay(program: Command): void {
  const command = program
    .command('relay')
    .description('move messages from the outbox to the brokers, until SIGTERM or Ctrl-C')
    .option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
    .addHelpText(
      'after',
      '\nSeveral relays share the work; one that is killed is replaced by the others.\n' +
        '\nExamples:\n  $ waybill relay\n  $ waybill relay --lease-ms 5s --log-level warn\n' +
        '  $ waybill relay --http-port 9464       serves /metrics, /healthz and /readyz to this machine\n',
    )
    .action(async (_own: unknown, self: Command) => {
      await relay(self.optsWithGlobals<RelayOptions>())
    })
  addSettingFlags(command)
}

async function relay(options: RelayOptions): Promise<void> {
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
  const waybill = createWaybill(
    { ...config, relay: true, monitor: withHttp(config.monitor) },
    { flags: settingFlags(options), env: process.env },
  )
  const interruption = listenForInterruption(() => {
    output.note('Stopping: what is under way ends first. Once more to stop at once.')
  })
  try {
    await waybill.start()
    output.note('The relay is running. Stop it with Ctrl-C or SIGTERM.')
    if (!interruption.signal.aborted) await once(interruption.signal, 'abort')
    const relays = waybill
      .status()
      .parts.flatMap((part) => (part.kind === 'relay' && part.relay !== null ? [part.relay] : []))
    await waybill.stop()
    output.result({
      relays: relays.map(({ lane, counters }) => ({ transport: lane.transport, ...counters })),
    })
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
