import { expect, it } from 'vitest'
import type { KafkaLibrary } from './client.ts'
import { withWholeMetadata } from './whole-metadata.ts'

const kMetadata: unique symbol = Symbol('metadata')
type Answer = readonly string[] | Error
type Callback = (error: Error | null, metadata?: { readonly topics: ReadonlyMap<string, object> }) => void

/** Looks for topics, and is answered each time with the next of these. */
function look(answers: Answer[], topics?: readonly string[]): Promise<readonly string[]> {
  class Producer {
    [kMetadata](_options: unknown, callback: Callback): void {
      const answer = answers.length > 1 ? answers.shift()! : answers[0]!
      if (answer instanceof Error) callback(answer)
      else callback(null, { topics: new Map(answer.map((topic) => [topic, {}])) })
    }
  }
  const kafka = { UserError: Error, kMetadata } as unknown as KafkaLibrary
  const client = new (withWholeMetadata(kafka, Producer as never) as unknown as typeof Producer)()
  return new Promise((resolve, reject) => {
    client[kMetadata]({ topics }, (error, metadata) => {
      if (error) reject(error)
      else resolve([...metadata!.topics.keys()])
    })
  })
}

it('asks again where a topic is missing, and no more where all are there', async () => {
  expect(await look([['a'], ['a', 'b'], ['a']], ['a', 'b'])).toEqual(['a', 'b'])
  expect(await look([['a', 'b'], ['a']], ['a', 'b'])).toEqual(['a', 'b'])
  expect(await look([[], ['a']])).toEqual([])
})

it('fails with the error of the look, and where it is never whole', async () => {
  await expect(look([new Error('no broker')], ['a'])).rejects.toThrow('no broker')
  await expect(look([['a']], ['a', 'b'])).rejects.toThrow('cleared again and again')
})
