import type { EventEmitter } from 'node:events'

/**
 * Aborts when what is written to the stream reaches nobody any more, as when `head` has enough, or its disk is full. What is said from
 * then on is dropped, and what a command has begun in the database it ends. Without a listener the error would end the process anywhere.
 */
export function readerGone(stream: EventEmitter): AbortSignal {
  const controller = new AbortController()
  stream.on('error', () => controller.abort())
  return controller.signal
}

/**
 * Calls back once, with the reason in words, where the stream cannot be written for another reason than that its reader has gone: that
 * one wants no more, everybody else lacks something.
 */
export function onUnwritable(stream: EventEmitter, say: (reason: string) => void): void {
  let hasSaid = false
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || hasSaid) return
    hasSaid = true
    say(error.message)
  })
}
