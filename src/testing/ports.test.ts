import { once } from 'node:events'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { freePort, isPortFree, waitForFreePort } from './ports.ts'

test('a free port is one a server can listen on, outside the range of outgoing connections', async () => {
  const port = await freePort()
  expect(port).toBeGreaterThanOrEqual(15_000)
  expect(port).toBeLessThan(32_000)
  expect(await isPortFree(port)).toBe(true)
})

test('a port somebody listens on is not free, and is waited for until it is', async () => {
  const port = await freePort()
  const server = createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  expect(await isPortFree(port)).toBe(false)
  let isFree = false
  const waiting = waitForFreePort(port).then(() => (isFree = true))
  expect(isFree).toBe(false)
  server.close()
  await waiting
  expect(await isPortFree(port)).toBe(true)
})

test('a port that never becomes free is an error with its number', async () => {
  const port = await freePort()
  const server = createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  await expect(waitForFreePort(port, { timeoutMs: 0 })).rejects.toThrow(`${port}`)
  server.close()
})
