import { expect, it } from 'vitest'
import { Epochs } from './epochs.ts'

it('counts its epochs by itself, and has to ask for a number when the last one is used up', () => {
  const epochs = new Epochs()
  epochs.next()
  expect(epochs.current).toBeNull()
  epochs.begin({ producerId: 7n, producerEpoch: 32_766 })
  epochs.next()
  expect(epochs.current).toEqual({ producerId: 7n, producerEpoch: 32_767 })
  epochs.next()
  expect(epochs.current).toBeNull()
  epochs.begin({ producerId: 8n, producerEpoch: 0 })
  expect(epochs.current).toEqual({ producerId: 8n, producerEpoch: 0 })
})
