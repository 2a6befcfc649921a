import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { LongestFirst } from './scripts/testing/longest-first.ts'

const isFull = process.env['WAYBILL_TEST_FULL'] !== undefined

const shared = {
  // They end what hangs. The same test has taken five times as long on another day's machine.
  testTimeout: 180_000,
  hookTimeout: 180_000,
  // Signals, not sleeps: a test that hangs says so by its time-out, and what it left behind ends with its worker.
  teardownTimeout: 20_000,
  pool: 'forks',
} as const

const config: ViteUserConfig = defineConfig({
  test: {
    // On two cores: a good half of the time a file waits for a broker, a lease or a process.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // A forgotten `.only` would make everything else green.
    allowOnly: process.env['WAYBILL_TEST_ALL'] === undefined,
    coverage: {
      provider: 'v8',
      // Children count in the full run only: see test/setup/children.ts.
      autoAttachSubprocess: isFull,
      include: ['src/**/*.ts'],
      exclude: ['src/**/*.test.ts'],
      reporter: ['text-summary', 'json', 'html'],
      reportsDirectory: 'coverage',
      thresholds: isFull ? { lines: 90, branches: 85 } : { lines: 86, branches: 81 },
    },
    projects: [
      {
        test: {
          ...shared,
          name: 'unit',
          // Each file with modules of its own (`isolate`): shared ones took half the CPU time, and in some order of the files
          // src/transports/kafka/dispatch-line.test.ts waited for ever; why was not found out.
          include: ['src/**/*.test.ts', 'scripts/**/*.test.ts', 'bench/**/*.test.ts'],
        },
      },
      {
        test: {
          ...shared,
          name: 'servers',
          include: ['test/**/*.test.ts'],
          globalSetup: ['test/setup/global-setup.ts'],
          setupFiles: ['test/setup/children.ts'],
        },
      },
    ],
  },
})

export default config
