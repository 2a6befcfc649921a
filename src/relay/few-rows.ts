import type { Command } from './mind/types.ts'

/** Rows that are sent faster than a read is on its way. */
const fewRows = 20

/**
 * Whether the sends among them have so few rows that the next read is to come after them, in the next turn of the event loop: to bring
 * it to the socket takes as long as to bring a row to its handler. Of many rows the database works on the read meanwhile.
 */
export function areFew(commands: readonly Command[]): boolean {
  let rows = 0
  for (const command of commands) if (command.type === 'send') rows += command.rows.length
  return rows > 0 && rows <= fewRows
}
