/** Deeper than this nothing is indented any more: what is nested so is no longer read by its shape. */
const deepest = 40

/**
 * JSON on lines of its own, each value as it was written: numbers keep their digits and names their order, which parsing would
 * lose. `undefined` where it is not JSON. Without recursion, so that depth costs no stack.
 */
export function jsonLines(text: string): readonly string[] | undefined {
  if (!isJson(text)) return undefined
  const lines: string[] = []
  let line = ''
  let depth = 0
  const next = (): void => {
    lines.push(line)
    line = '  '.repeat(Math.min(depth, deepest))
  }
  // Strings, then what has a meaning of its own, then words and numbers.
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gu) ?? []
  for (const [i, token] of tokens.entries()) {
    const closes = tokens[i + 1] === '}' || tokens[i + 1] === ']'
    if (token === '{' || token === '[') {
      line += token
      depth += 1
      if (!closes) next()
    } else if (token === '}' || token === ']') {
      depth -= 1
      const isEmpty = tokens[i - 1] === '{' || tokens[i - 1] === '['
      if (!isEmpty) next()
      line += token
    } else if (token === ',') {
      line += token
      next()
    } else {
      line += token === ':' ? ': ' : token
    }
  }
  return [...lines, line]
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
