import { durationText } from '../guarantees/duration.ts'
import type { Hop, Plan, Refusal, Window } from '../guarantees/plan.ts'
import { cut, point, wrap } from './lines.ts'
import type { Page } from './output.ts'

/** A channel's plan hop by hop, or why there is none, for people. */
export function planText(verdict: Plan | Refusal, page: Page): string {
  return verdict.kind === 'plan' ? fullPlan(verdict, page) : refused(verdict, page)
}

/** One line for each channel, then what is refused in full. */
export function overviewText(verdicts: readonly (Plan | Refusal)[], page: Page): string {
  const { bold, dim, red } = page.colors
  const nameWidth = Math.min(
    Math.max(12, page.width - 50),
    Math.max(7, ...verdicts.map(({ channel }) => channel.length)),
  )
  const row = (name: string, guarantee: string): string =>
    `${cut(name, nameWidth).padEnd(nameWidth)}  ${guarantee.padEnd(16)}  `
  const lines = [dim(`${row('channel', 'guarantee')}way`)]
  for (const verdict of verdicts) {
    const head = row(verdict.channel, verdict.guarantee)
    const room = page.width - head.length
    const text = verdict.kind === 'plan' ? wayOf(verdict) : 'refused, see below'
    const [first = '', ...more] = wrap(text, room)
    lines.push(head + (verdict.kind === 'plan' ? first : red(first)))
    lines.push(...more.map((line) => ' '.repeat(head.length) + line))
  }
  const refusals = verdicts.filter((verdict) => verdict.kind === 'refusal')
  const plans = verdicts.filter((verdict) => verdict.kind === 'plan')
  for (const refusal of refusals) lines.push('', refused(refusal, page))
  for (const { channel, warnings } of plans) {
    if (warnings.length > 0) lines.push('', bold(channel), ...warned(warnings, page))
  }
  const next = wrap('waybill explain <channel> tells the way of its messages hop by hop.', page.width)
  lines.push('', ...next.map((line) => dim(line)))
  return lines.join('\n')
}

function fullPlan(plan: Plan, page: Page): string {
  const { bold, cyan, dim } = page.colors
  const lines = [
    `${bold(plan.channel)}  ${cyan(plan.guarantee)}`,
    ...wrap(wayOf(plan), page.width).map((line) => dim(line)),
    '',
    ...flow(plan, page),
    '',
    bold('What may still happen'),
    ...plan.mayStillHappen.flatMap((sentence) => point(sentence, page.width)),
  ]
  if (plan.windows.length > 0) {
    lines.push('', bold('For how long it holds'), ...plan.windows.flatMap((each) => windowLines(each, page)))
  }
  if (plan.warnings.length > 0) lines.push('', bold('Warnings'), ...warned(plan.warnings, page))
  if (plan.offers.length > 0) {
    lines.push(
      '',
      bold('What would hold as well'),
      ...plan.offers.flatMap((offer) => point(offer, page.width)),
    )
  }
  return lines.join('\n')
}

/** The way in a line: `publish → relay: fence → events → shipping: inbox`. */
function wayOf(plan: Plan): string {
  const start = plan.relay === 'none' ? `send(): ${plan.send}` : `publish → relay: ${plan.relay}`
  const isWired = plan.hops.some(({ step }) => step === 'transport')
  const ends = Object.entries(plan.consumers).map(([name, form]) => `${name}: ${form}`)
  return [start, ...(isWired ? [plan.transport] : []), ...(ends.length > 0 ? [ends.join(', ')] : [])].join(
    ' → ',
  )
}

function flow(plan: Plan, { colors: { bold, dim }, width: pageWidth }: Page): readonly string[] {
  const labels = plan.hops.map((hop) => labelOf(hop, plan))
  const width = Math.min(18, Math.max(...labels.map((label) => label.length)))
  const lines: string[] = []
  plan.hops.forEach(({ how, mayHappen }, i) => {
    const room = pageWidth - width - 4
    // Not from the last one on: there it ends.
    const bar = i < plan.hops.length - 1 ? '│' : ' '
    const under = `${dim(bar.padStart(3).padEnd(width + 2))}  `
    const [first = '', ...more] = wrap(how, room)
    lines.push(`${bold(cut(labels[i]!, width).padEnd(width))}    ${first}`)
    lines.push(...more.map((line) => under + line))
    const may = mayHappen === undefined ? [] : wrap(`But: ${mayHappen}`, room)
    lines.push(...may.map((line) => under + dim(line)))
    if (bar !== ' ') lines.push(under.trimEnd())
  })
  return lines
}

function labelOf({ step, consumer }: Hop, plan: Plan): string {
  if (step === 'consume') return consumer ?? 'consumer'
  if (step === 'transport') return plan.transport
  return step === 'send' && plan.relay !== 'none' ? 'or send()' : step === 'send' ? 'send()' : step
}

function windowLines(
  { what, setting, ms, after }: Window,
  { colors: { dim }, width }: Page,
): readonly string[] {
  const time = `  ${(ms === null ? 'without end' : durationText(ms)).padEnd(12)}  `
  const indent = ' '.repeat(time.length)
  const room = width - time.length
  const named = setting === undefined ? what : `${what} (${setting})`
  const head = wrap(named, room).map((line, i) => (i === 0 ? time : indent) + line)
  if (ms === null) return head
  return [...head, ...wrap(`then ${after}`, room).map((line) => indent + dim(line))]
}

function refused({ channel, guarantee, message, nearest, reason, cause }: Refusal, page: Page): string {
  const { bold, dim, green, red } = page.colors
  const under = (label: string, text: string, paint: (line: string) => string): readonly string[] =>
    wrap(text, page.width - 12).map((line, i) => `  ${(i === 0 ? label : '').padEnd(10)}${paint(line)}`)
  return [
    `${bold(channel)}  ${guarantee}  ${red('REFUSED')}`,
    ...under('why', message, (line) => line),
    ...under('nearest', nearest.words, green),
    ...under('reason', `${reason} (${cause})`, dim),
  ].join('\n')
}

function warned(warnings: readonly string[], { colors: { yellow }, width }: Page): readonly string[] {
  return warnings.flatMap((warning) => point(warning, width)).map((line) => yellow(line))
}
