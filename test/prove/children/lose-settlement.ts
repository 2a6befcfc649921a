import { armFailpoint } from '../../../src/testing.ts'

/** Preloaded: a consumer dies when it has committed so often, before anybody is told, so that its last messages come again. */
armFailpoint('consumer.after-commit', 'kill', 40)
