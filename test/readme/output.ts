/**
 * The first line of `expected` that `printed` lacks, or `null`. Lines come in this order, others may stand between them; `…`
 * stands for any text in a line, and alone for any lines.
 */
export function missingLine(expected: string, printed: string): string | null {
  const lines = printed.split('\n').map((line) => line.trim())
  let at = 0
  for (const wanted of expected.split('\n').map((line) => line.trim())) {
    if (wanted === '' || wanted === '…') continue
    const pattern = new RegExp(`^${wanted.split('…').map(escape).join('.*')}$`, 'u')
    const found = lines.findIndex((line, index) => index >= at && pattern.test(line))
    if (found === -1) return wanted
    at = found + 1
  }
  return null
}

function escape(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/gu, String.raw`\$&`)
}
