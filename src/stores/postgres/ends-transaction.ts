/** What comes before the first word of a statement: each alternative begins with a character of its own, so it is walked once. */
const before = String.raw`(?:[\s;]|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/)*`
const ends = new RegExp(
  `^${before}(?:(?:commit|end|abort|prepare\\s+transaction)\\b|rollback\\b(?!\\s+(?:(?:work|transaction)\\s+)?to\\b))`,
  'iu',
)

/** Whether the statement, or the first of several, would end the transaction it stands in. */
export function endsTransaction(text: unknown): boolean {
  return typeof text === 'string' && ends.test(text)
}
