import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { chanceOf } from '../../testing/chance.ts'
import { jsonSchemaOf, makePayload } from './made-payload.ts'

const address = z.object({ city: z.string().min(3).max(4), zip: z.string().length(2) })

const order = z.object({
  id: z.int().positive(),
  price: z.number().min(2).max(5).multipleOf(0.5),
  customer: z.uuid(),
  mail: z.email(),
  at: z.iso.datetime(),
  day: z.iso.date(),
  site: z.url(),
  kind: z.enum(['new', 'old']),
  version: z.literal(3),
  paid: z.boolean(),
  note: z.string().nullable(),
  lines: z.array(z.object({ sku: z.string(), count: z.int().min(1) })).min(2),
  pair: z.tuple([z.string(), z.int()]),
  to: z.union([address, z.string()]),
  also: address.and(z.object({ street: z.string() })),
  comment: z.string().optional(),
})

describe('makePayload', () => {
  it('makes what the schema takes, whatever the chance', () => {
    const json = jsonSchemaOf(order)!
    const chance = chanceOf(7)
    for (let i = 0; i < 200; i++) {
      const payload = makePayload(json, chance)
      expect(order.safeParse(payload).error).toBeUndefined()
      expect(payload).not.toHaveProperty('comment')
    }
  })

  it.each<[string, z.ZodType]>([
    ['below an open bound', z.int().positive().lt(20)],
    ['above an open bound', z.int().gt(30)],
    ['below zero', z.number().negative()],
    ['of a short span below zero', z.int().min(-9).max(-7)],
    ['of one integer', z.int().gt(3).lt(5)],
    ['between two integers', z.number().gt(0).lt(1)],
    ['between two fractions', z.number().min(0.2).max(0.8)],
    ['of steps between open bounds', z.number().multipleOf(0.25).gt(0.5).lt(1.5)],
    ['of steps from where none begins', z.number().multipleOf(5).min(7)],
    ['of all that a format has', z.float64()],
  ])('makes numbers %s', (_what, schema) => {
    const json = jsonSchemaOf(schema)!
    for (const chance of [0, 0.2, 0.5, 0.95, 0.999]) {
      expect(schema.safeParse(makePayload(json, () => chance)).error).toBeUndefined()
    }
  })

  it('makes few different values, so that keys come again', () => {
    const json = jsonSchemaOf(z.object({ id: z.int(), name: z.string() }))!
    const chance = chanceOf(7)
    const made = Array.from({ length: 500 }, () => makePayload(json, chance) as { id: number; name: string })
    expect(new Set(made.map(({ id }) => id)).size).toBe(24)
    expect(new Set(made.map(({ name }) => name)).size).toBe(24)
  })

  it('follows a schema that names itself', () => {
    const tree = z.object({
      name: z.string(),
      get leaves() {
        return z.array(z.object({ name: z.string() }))
      },
    })
    const payload = makePayload(jsonSchemaOf(tree)!, chanceOf(1))
    expect(tree.safeParse(payload).success).toBe(true)
  })

  it('has no schema of a library that tells none, nor of what cannot be written as one', () => {
    expect(jsonSchemaOf({ '~standard': { version: 1 } })).toBeUndefined()
    expect(jsonSchemaOf(z.bigint())).toBeUndefined()
  })
})
