import { appendFileSync, readFileSync } from 'node:fs'
import { silentLogger } from '../../../../src/kernel/logger.ts'
import { headersFrom } from '../../../../src/kernel/message.ts'
import type { FencedMessage } from '../../../../src/ports/transport.ts'
import { kafkaTransport } from '../../../../src/transports/kafka/transport.ts'

// A relay in small: its outbox are the numbers up to `count`, and a file says which of them were deleted.
const [broker, topic, prefix, positionsTopic, file, count] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
]
const batchSize = 40
const timeoutMs = 30_000

function rowOf(seq: number): FencedMessage {
  return {
    seq: BigInt(seq),
    address: topic,
    envelope: {
      id: `00000000-0000-7000-8000-${seq.toString(16).padStart(12, '0')}`,
      channel: topic,
      key: 'k',
      payload: Buffer.from(String(seq)),
      contentType: 'text/plain',
      headers: headersFrom([]),
      createdAt: new Date(0),
    },
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

const deleted = new Set(readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number))

function remove(seqs: readonly number[]): void {
  appendFileSync(file, `${seqs.join('\n')}\n`)
  for (const seq of seqs) deleted.add(seq)
}

const transport = kafkaTransport({
  brokers: [broker],
  transactionalIdPrefix: prefix,
  positionsTopic,
}).open({ logger: silentLogger, applicationName: 'relay', source: '/test' })
const publisher = await transport.openFencedPublisher!('an outbox')
say('open')
const { last } = await publisher.takeOver(0, timeoutMs)
const named = (last?.rows ?? []).map(({ seq, id }) => {
  if (rowOf(Number(seq)).envelope.id !== id) throw new Error(`Row ${seq} is named with another id.`)
  return Number(seq)
})
const recovered = named.filter((seq) => !deleted.has(seq))
remove(recovered)
say(`taken ${recovered.length}`)
const all = Array.from({ length: Number(count) }, (_, i) => i + 1)
for (let number = (last?.number ?? 0n) + 1n; ; number++) {
  const seqs = all.filter((seq) => !deleted.has(seq)).slice(0, batchSize)
  if (seqs.length === 0) break
  const outcome = await publisher.publish(0, { epoch: 1n, number }, seqs.map(rowOf), timeoutMs)
  if (outcome.outcome !== 'committed') throw new Error(`A quiet transaction was ${outcome.outcome}.`)
  remove(seqs)
}
await transport.close()
say('done')
