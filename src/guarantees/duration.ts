const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const

/** A time for people: `15 s`, `14 d`, `1 min 42 s`. The two largest units that count; the rest is cut off. */
export function durationText(ms: number): string {
  const first = units.findIndex(([, size]) => ms >= size)
  if (first === -1) return '0 s'
  const [unit, size] = units[first]!
  const head = `${Math.floor(ms / size)} ${unit}`
  const next = units[first + 1]
  const rest = next === undefined ? 0 : Math.floor((ms % size) / next[1])
  // Milliseconds beside seconds are noise.
  return rest === 0 || next === undefined || next[0] === 'ms' ? head : `${head} ${rest} ${next[0]}`
}
