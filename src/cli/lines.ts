/** `text` in lines of at most `width`, broken between words; a word that is longer stands on a line of its own. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/u)) {
    if (word === '') continue
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  if (line !== '') lines.push(line)
  return lines
}

/** At most `width` characters, the last of them `…` where something was cut off. */
export function cut(text: string, width: number): string {
  // Not in the middle of a character of two units.
  return text.length <= width ? text : `${text.slice(0, width - 1).replace(/[\uD800-\uDBFF]$/, '')}…`
}

/** A point of a list, wrapped under itself. */
export function point(text: string, width: number): readonly string[] {
  return wrap(text, width - 4).map((line, i) => `  ${i === 0 ? '·' : ' '} ${line}`)
}
