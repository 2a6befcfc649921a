import type { DemoReport } from '../demo/report.ts'
import { number, plainTable } from './demo-display.ts'
import type { Colors } from './output.ts'

/** The outcome for people: figures, whom it killed, the verdict and what it rests on. */
export function summary(report: DemoReport, colors: Colors): string {
  const { bold, dim, green, red } = colors
  const table = plainTable()
  const row = (label: string, value: number, meaning: string): void => {
    table.push([label, number(value), dim(meaning)])
  }
  const fault = (label: string, value: number, meaning: string): void => {
    table.push([label, value === 0 ? green('0') : red(number(value)), dim(meaning)])
  }
  row('orders', report.orders, `committed, ${report.ordersPerSecond} per second`)
  row('rolled back', report.rolledBack, 'orders that were undone, by an error, to a savepoint or by a kill')
  row('shipments', report.shipments, `the last ones ${report.drainSeconds} s after the shop closed`)
  row('kills', report.kills, killedText(report))
  row('duplicates suppressed', report.duplicatesSuppressed, 'copies of a message kept from the handler')
  fault('lost', report.lost, 'committed orders without a shipment')
  fault('duplicated', report.duplicated, 'shipments too many')
  fault('ghosts', report.ghosts, 'shipments of orders that were rolled back')
  fault('out of order', report.outOfOrder, 'orders shipped after a later one of their customer')
  return `${table.toString()}\n\n${verdictText(report, (text) => bold(report.verdict === 'valid' ? green(text) : red(text)))}`
}

function killedText({ killed }: DemoReport): string {
  const who = Object.entries(killed).filter(([, times]) => times > 0)
  return who.length === 0
    ? 'nobody was killed'
    : `by SIGKILL: ${who.map(([name, times]) => `${name} ${times}×`).join(', ')}`
}

function verdictText(report: DemoReport, emphasis: (text: string) => string): string {
  if (report.verdict === 'valid') {
    return (
      `${emphasis('VALID')}  Every committed order has exactly one shipment, none that rolled back has one,\n` +
      "       and each customer's came in the order of their commits."
    )
  }
  const lesson =
    report.without === null
      ? []
      : [`  This is what the ${report.without} is for: see it hold with a plain \`waybill demo\`.`]
  return [emphasis('INVALID'), ...report.reasons.map((reason) => `  - ${reason}`), ...lesson].join('\n')
}
