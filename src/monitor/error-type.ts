/** Codes may come from anywhere, a handler's error too: only what looks like one is told (S16). */
export function errorType(code: string): string {
  return /^\w{1,60}$/u.test(code) ? code : '_OTHER'
}
