import { createWaybill } from '../app/create-waybill.ts'
import type { Waybill } from '../app/waybill.ts'
import { loadConfig } from './config-file.ts'
import { settingFlags } from './settings-flags.ts'

export interface WaybillFlags extends Record<string, unknown> {
  readonly config?: string
}

/** Lends the instance of a configuration file and of the flags of settings, which nothing was started on, for one command. */
export async function withWaybill(
  flags: WaybillFlags,
  work: (waybill: Waybill) => Promise<void>,
): Promise<void> {
  await using waybill = createWaybill(await loadConfig(flags.config), {
    flags: settingFlags(flags),
    env: process.env,
  })
  await work(waybill)
}
