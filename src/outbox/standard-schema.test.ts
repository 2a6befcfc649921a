import { describe, expect, it } from 'vitest'
import { validate, type StandardSchema } from './standard-schema.ts'

function schema(run: StandardSchema['~standard']['validate']): StandardSchema {
  return { '~standard': { version: 1, vendor: 'test', validate: run } }
}

const refusal = (text: string): unknown =>
  expect.objectContaining({ code: 'WB_INVALID_PAYLOAD', message: expect.stringContaining(text) })

describe('validating a payload', () => {
  it('gives the output at once where the schema is synchronous, and later where it is not', async () => {
    expect(
      validate(
        schema(() => ({ value: 1 })),
        'x',
        'a message',
      ),
    ).toBe(1)
    await expect(
      validate(
        schema(async () => ({ value: 1 })),
        'x',
        'a message',
      ),
    ).resolves.toBe(1)
  })

  it('names the path of the first issue, whatever form its segments have', () => {
    const issues = [{ path: ['lines', { key: 2 }, 'total'] }]
    expect(() =>
      validate(
        schema(() => ({ issues })),
        'x',
        'a message',
      ),
    ).toThrow(refusal('at $.lines[2].total.'))
    expect(() =>
      validate(
        schema(() => ({ issues: [{}] })),
        'x',
        'a message',
      ),
    ).toThrow(refusal('at $.'))
  })

  it('refuses late where the schema is asynchronous', async () => {
    const issues = [{ path: ['a'] }]
    await expect(
      validate(
        schema(async () => ({ issues })),
        'x',
        'a message',
      ),
    ).rejects.toThrow(refusal('$.a'))
  })

  it('passes on only the kind of what the schema itself throws (S16)', async () => {
    const thrown = (): never => {
      throw new RangeError('4111 is not a card')
    }
    expect(() => validate(schema(thrown), 'x', 'a message')).toThrow(
      refusal("the channel's schema threw RangeError."),
    )
    await expect(
      validate(
        schema(async () => thrown()),
        'x',
        'a message',
      ),
    ).rejects.toThrow(refusal('threw RangeError.'))
  })
})
