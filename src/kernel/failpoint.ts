/** A process-wide hook, set only by the preloaded failpoint module of `waybill/testing`. */
export type FailpointHook = (name: FailpointName) => void

/**
 * Every named crash point. Code, tests and documentation share these names; the crash matrix kills a process at each.
 */
export const failpointNames = [
  'writer.after-begin',
  'writer.after-business',
  'writer.after-publish',
  'writer.after-commit',
  'relay.after-claim',
  'relay.after-read',
  'relay.before-send',
  'relay.after-send',
  'relay.after-remove',
  'relay.before-block',
  'relay.after-block',
  'relay.before-take',
  'relay.after-take',
  'relay.after-dispatch',
  'relay.after-take-over',
  'relay.before-fenced-send',
  'relay.after-fenced-send',
  'relay.after-fenced-remove',
  'consumer.after-receive',
  'consumer.after-admit',
  'consumer.after-handler',
  'consumer.before-commit',
  'consumer.after-commit',
  'consumer.before-settle',
  'consumer.after-settle',
  'layout.after-announce',
  'layout.before-change',
  'layout.after-change',
] as const

export type FailpointName = (typeof failpointNames)[number]

const slot: unique symbol = Symbol.for('waybill.failpoint') as never

/**
 * A named crash point. Does nothing unless a test has preloaded a hook, which may kill or stop the process here or throw.
 */
export function failpoint(name: FailpointName): void {
  const hook = (globalThis as { [slot]?: FailpointHook })[slot]
  if (hook !== undefined) hook(name)
}
