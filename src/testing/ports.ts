import { createServer } from 'node:net'
import { systemRandom } from '../kernel/clock.ts'
import { WaybillError } from '../kernel/errors.ts'
import { until, type UntilOptions } from './until.ts'

// Below every system's range for outgoing connections. A port out of that range can be taken by any client while its
// server is down, and a client that retries a connection to it can even connect to itself (TCP's simultaneous open).
const lowest = 15_000
const highest = 32_000

/** A loopback port nobody listens on. It stays free of outgoing connections, so a server can come back on it. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const port = lowest + Math.floor(systemRandom() * (highest - lowest))
    if (await isPortFree(port)) return port
  }
  throw new WaybillError(
    'WB_TIMED_OUT',
    `No free port was found between ${lowest} and ${highest} on 127.0.0.1.`,
  )
}

/** Whether a server could listen on this loopback port now. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => {
      resolve(false)
    })
    server.listen(port, '127.0.0.1', () => {
      server.close(() => {
        resolve(true)
      })
    })
  })
}

/**
 * Waits until the last holder of the port is gone. A restarted server must not be called ready while its predecessor still
 * answers there.
 */
export async function waitForFreePort(port: number, options: UntilOptions = {}): Promise<void> {
  await until(`a free port ${port}`, () => isPortFree(port), options)
}
