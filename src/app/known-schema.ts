/** Methods of a desk: each asks the store. */
type Method = (...given: unknown[]) => Promise<unknown>

/**
 * Desks work without `start()`, which looks whether this code may run on the schema; so they look themselves, before the first call
 * that they let through. An older command line on a newer schema would else change rows whose meaning it does not know, or tell what
 * they mean no more (G5).
 */
export class KnownSchema {
  readonly #check: () => Promise<unknown>
  #isKnown = false

  constructor(check: () => Promise<unknown>) {
    this.#check = check
  }

  guard<Desk extends object>(desk: Desk): Desk {
    const methods = Object.entries(desk as Readonly<Record<string, Method>>)
    const guarded = methods.map(([name, method]): [string, Method] => [
      name,
      async (...given) => {
        if (!this.#isKnown) await this.#check()
        this.#isKnown = true
        return await method(...given)
      },
    ])
    return Object.fromEntries(guarded) as Desk
  }
}
