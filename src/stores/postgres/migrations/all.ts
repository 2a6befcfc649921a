import { migration0001 } from './0001.ts'
import type { Migration } from './migration.ts'

/** Every version of the schema, oldest first. */
export const migrations: readonly Migration[] = [migration0001]

export const newestVersion: number = migrations.at(-1)!.version
