const payloads: unique symbol = Symbol.for('waybill.many') as never

/** Several payloads for one `publish`; made by {@link many}, so that it is never mistaken for a payload that is an array. */
export interface Many<Payload> {
  readonly [payloads]: readonly Payload[]
}

/** `publish(tx, channel, many(orders))`: a message for each, in this order, written by one statement (W8). */
export function many<Payload>(items: readonly Payload[]): Many<Payload> {
  return Object.freeze({ [payloads]: [...items] })
}

/** The payloads of {@link many}, or `undefined` where `value` is a payload itself. */
export function payloadsOf(value: unknown): readonly unknown[] | undefined {
  return typeof value === 'object' && value !== null && payloads in value
    ? (value as Many<unknown>)[payloads]
    : undefined
}
