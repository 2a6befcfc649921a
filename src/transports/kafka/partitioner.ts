/**
 * Murmur2 as the Java client hashes a key, so that Java, Waybill and everything that follows the Java client agree on a
 * key's partition. 32-bit arithmetic: the library's own works with BigInt, and every message needs one.
 */
export function murmur2(data: Uint8Array, from = 0, to: number = data.length): number {
  const m = 0x5bd1e995
  const length = to - from
  const whole = from + (length & ~3)
  let h = 0x9747b28c ^ length
  for (let i = from; i < whole; i += 4) {
    let k = data[i]! | (data[i + 1]! << 8) | (data[i + 2]! << 16) | (data[i + 3]! << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    h = Math.imul(h, m) ^ Math.imul(k, m)
  }
  const rest = to - whole
  if (rest > 0) {
    if (rest > 2) h ^= data[whole + 2]! << 16
    if (rest > 1) h ^= data[whole + 1]! << 8
    h = Math.imul(h ^ data[whole]!, m)
  }
  h = Math.imul(h ^ (h >>> 13), m)
  return h ^ (h >>> 15)
}

/** The Java client's own way to make a hash positive (`Utils.toPositive`). */
export function bucketOf(hash: number, buckets: number): number {
  return (hash & 0x7fffffff) % buckets
}
