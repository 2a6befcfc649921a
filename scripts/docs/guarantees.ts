import { guarantees, guaranteeTerms } from '../../src/guarantees/guarantees.ts'
import { refusalRules } from '../../src/guarantees/refusals.ts'

/** docs/guarantees.md, from the tables that the compiler itself reads. */
export function guaranteesPage(): string {
  const terms = guarantees.map((guarantee) => {
    const { promise, mayStillHappen, useCase } = guaranteeTerms[guarantee]
    return `| \`${guarantee}\` | ${promise} | ${mayStillHappen} | ${useCase} |`
  })
  const refusals = Object.entries(refusalRules).map(
    ([reason, { cause, what, instead }]) => `| \`${reason}\` | ${cause} | ${what} | ${instead} |`,
  )
  return `${introduction}
| guarantee | promise | what may still happen | use it for |
|---|---|---|---|
${terms.join('\n')}

${ways}
## What is refused

Before anything starts each channel is compiled for its store, its transport and its consumers. What cannot hold is refused with
\`WB_GUARANTEE_UNSUPPORTED\`: a message that says what and why, and the nearest choice that can hold. Where several reasons stand
against a channel the first of this table is told.

| reason | cause | what cannot hold | instead |
|---|---|---|---|
${refusals.join('\n')}
`
}

const introduction = `<!-- Written by "npm run docs" from src/guarantees/: change it there. -->

# Guarantees

A channel declares one of four guarantees, and the whole way of its messages follows from it. \`waybill explain\` shows that way for your
configuration, with the windows in which it holds; \`waybill advise\` helps to choose.
`

const ways = `## How each is kept

**The relay** moves stored messages. \`confirm\`: it sends, awaits the confirm, and deletes. \`take\`: it deletes durably, then sends
once. \`fence\`: it writes a batch and the note of what the batch holds in one fenced transaction of the transport, then deletes.
\`handlers\`: the transport is local, and each consumer's own relay runs its handlers.

**A consumer** has one of five forms. \`settle-first\`: the message is settled before the handler starts. \`settle-after\`: it is settled
after the handler's transaction has committed. \`inbox\`: its id is noted in the handler's transaction. \`checkpoint\`: the consumer's
position moves in the handler's transaction. \`transform\`: position and outputs go in one transaction of the transport. An inbox knows
messages by their ids; a checkpoint and a transform know them by their positions, which a copy on the wire does not share, so
these need a relay that fences.

**\`send()\`** takes a channel without a database transaction. At most once it dispatches: nothing is stored, awaited or tried again. On
the others it awaits the confirm and tries again with the same id until \`sendDeadlineMs\`. An exactly-once channel cannot be sent.
`
