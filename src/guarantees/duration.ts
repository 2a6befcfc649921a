const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const

/** A time for people: `2.5 s`, `14 d`, `1 min 42 s`. From a minute the two largest units that count; the rest is cut off. */
export function durationText(ms: number): string {
  if (ms >= 1000 && ms < 60_000) return `${ms / 1000} s`
  const first = units.findIndex(([, size]) => ms >= size)
  if (first === -1) return '0 s'
  const [unit, size] = units[first]!
  const head = `${Math.floor(ms / size)} ${unit}`
  const next = units[first + 1]
  const rest = next === undefined ? 0 : Math.floor((ms % size) / next[1])
  return rest === 0 || next === undefined ? head : `${head} ${rest} ${next[0]}`
}
