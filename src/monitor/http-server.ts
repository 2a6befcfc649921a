import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { describeError, WaybillError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Monitor, MonitorPlace, MonitorSource } from '../kernel/monitoring.ts'
import { examine } from './health.ts'
import { PrometheusMetrics } from './prometheus.ts'
import { startRecording } from './recording.ts'
import { StoreFigures } from './store-figures.ts'

/** Listens, and serves what {@link MonitorSource} tells until it is closed. */
export async function openHttpServer(
  source: MonitorSource,
  place: MonitorPlace,
  healthTimeoutMs: number,
): Promise<Monitor> {
  const metrics = new PrometheusMetrics(new StoreFigures({ source, now: () => performance.now() }))
  const listener = getRequestListener(routes(source, metrics, healthTimeoutMs).fetch)
  const server = createServer((request, response) => void listener(request, response))
  await listen(server, place)
  // Without a listener, a connection that cannot be accepted would end the process.
  server.on('error', (error) =>
    source.logger.warn({ error: describeError(error) }, 'the monitor has trouble'),
  )
  tellPlace(source.logger, place)
  const stopRecording = startRecording(metrics, source)
  return {
    async close() {
      stopRecording()
      const closed = once(server, 'close')
      server.close()
      // A scraper keeps its connection open between two scrapes.
      server.closeAllConnections()
      await closed
    },
  }
}

function routes(source: MonitorSource, metrics: PrometheusMetrics, healthTimeoutMs: number): Hono {
  const app = new Hono()
  app.use(async (context, next) => {
    await next()
    context.header('cache-control', 'no-store')
    context.header('x-content-type-options', 'nosniff')
  })
  app.get('/metrics', async (context) => {
    const text = await metrics.render()
    return context.body(text, 200, { 'content-type': metrics.contentType })
  })
  app.get('/healthz', async (context) => {
    const health = await examine(source.checks(), healthTimeoutMs)
    return context.json(health, health.isHealthy ? 200 : 503)
  })
  app.get('/readyz', (context) => {
    const reason = source.notReady()
    return reason === null ? context.json({ isReady: true }) : context.json({ isReady: false, reason }, 503)
  })
  app.notFound((context) => context.json({ error: 'There are /metrics, /healthz and /readyz.' }, 404))
  app.onError((error, context) => {
    source.logger.warn({ error: describeError(error) }, 'a request to the monitor failed')
    return context.json({ error: 'It failed; the log says why.' }, 500)
  })
  return app
}

function tellPlace(logger: Logger, { host, port }: MonitorPlace): void {
  const isLoopback = /^(?:127\.|::1$|localhost$)/u.test(host)
  if (isLoopback) logger.info({ host, port }, 'serving metrics and health to this machine')
  else
    logger.warn(
      { host, port },
      'serving metrics and health, without a password, to whoever reaches this address',
    )
}

async function listen(server: Server, { host, port }: MonitorPlace): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host, port }, resolve)
  try {
    await promise
  } catch (cause) {
    throw new WaybillError(
      'WB_INVALID_CONFIG',
      `Cannot serve metrics and health at ${host}, port ${port} (${describeError(cause).code}): choose another httpHost or httpPort.`,
      { cause },
    )
  } finally {
    server.off('error', reject)
  }
}
