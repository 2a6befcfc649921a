import { withDeadline } from '../../kernel/deadline.ts'

/** One thing that an adapter has to do. It rejects, with an `AssertionError` as a rule, where the adapter does not. */
export interface ConformanceCase {
  /** A sentence: what is expected. */
  readonly name: string
  run(): Promise<void>
}

/** What is asked of an adapter in a scene of its own, which is cleared away whatever comes of it. */
export function casesIn<Scene extends { readonly timeoutMs: number; clear(): Promise<void> }>(
  open: () => Promise<Scene> | Scene,
  cases: Readonly<Record<string, (scene: Scene) => Promise<void>>>,
): readonly ConformanceCase[] {
  return Object.entries(cases).map(([name, check]) => ({
    name,
    async run() {
      const scene = await open()
      try {
        // Several things are waited for, one after another, and what never answers must not be.
        await withDeadline(check(scene), 4 * scene.timeoutMs, 'the adapter')
      } finally {
        await scene.clear()
      }
    },
  }))
}
