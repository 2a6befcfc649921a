const prefix = '{"leftCopies":'

/** How a process says that a handler has left the copies of its tables. */
export function leftLine(sentence: string): string {
  return `${prefix}${JSON.stringify(sentence)}}`
}

/** What such a line says; `undefined` where it is another. */
export function leftSentence(line: string): string | undefined {
  if (!line.startsWith(prefix)) return undefined
  return (JSON.parse(line) as { readonly leftCopies: string }).leftCopies
}
