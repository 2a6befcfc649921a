import { createWaybill } from '../app/create-waybill.ts'
import type { Waybill } from '../app/waybill.ts'
import { loadConfig } from './config-file.ts'

/** Lends the instance of a configuration file, which nothing was started on, for one command. */
export async function withWaybill(
  config: string | undefined,
  work: (waybill: Waybill) => Promise<void>,
): Promise<void> {
  await using waybill = createWaybill(await loadConfig(config), { env: process.env })
  await work(waybill)
}
