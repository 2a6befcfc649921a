import { WaybillError } from '../kernel/errors.ts'
import { didYouMean } from '../kernel/suggest.ts'
import type { SomeChannel } from '../outbox/channel.ts'
import type { ResolvedConfig } from './config.ts'
import {
  type BatchConsumeOptions,
  checkConsumeOptions,
  type ConsumeOptions,
  type TransformConsumeOptions,
} from './consume-options.ts'
import type { Registration } from './consumers.ts'
import { outputTargets } from './transforms.ts'

/** What `consume` was given, checked. Throws `WB_UNKNOWN_CHANNEL` or `WB_INVALID_OPTION`. */
export function registrationOf(
  config: ResolvedConfig,
  channel: SomeChannel,
  options: ConsumeOptions | BatchConsumeOptions | TransformConsumeOptions,
  handler: Registration['handler'],
): Registration {
  const checked = checkConsumeOptions(options, handler, config.settings)
  const route = config.routes.get(channel?.name)
  if (route === undefined) {
    const hint = didYouMean(channel?.name ?? '', config.routes.keys())
    throw new WaybillError(
      'WB_UNKNOWN_CHANNEL',
      `Consumer "${checked.facts.name}" takes channel "${channel?.name}", which is not in the configuration.${hint} List it in \`channels\`.`,
    )
  }
  const targets = outputTargets(config, route, checked.transform ?? [])
  return { ...checked, consumer: checked.facts.name, route, handler, targets }
}

export function refuseRegistration(
  { consumer, route }: Registration,
  before: readonly Registration[],
  isRunning: boolean,
): void {
  const isTaken = before.some((other) => other.consumer === consumer && other.route === route)
  if (!isTaken && !isRunning) return
  const why = isTaken
    ? 'already has a handler for it in this process: give this one a consumer of another name'
    : 'was registered after start(): call consume() before it'
  throw new WaybillError(
    'WB_INVALID_OPTION',
    `Consumer "${consumer}" of channel "${route.channel.name}" ${why}.`,
  )
}
