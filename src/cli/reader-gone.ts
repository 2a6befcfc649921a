import type { EventEmitter } from 'node:events'

/**
 * Aborts when nobody reads the stream any more, as when `head` has enough. That is no failure: what is said from then on is
 * dropped, and what a command has begun in the database it ends. Without a listener the error would end the process anywhere.
 */
export function readerGone(stream: EventEmitter): AbortSignal {
  const controller = new AbortController()
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    controller.abort()
  })
  return controller.signal
}
