import { consumerRows } from './rows/consumers.ts'
import { otherRows } from './rows/kafka-and-two-phase.ts'
import { producerRows } from './rows/producers.ts'
import { serverRows } from './rows/servers.ts'
import type { Coverage } from './shown.ts'

/** Every row of the matrix of faults, in their order. */
export const coverage: readonly Coverage[] = [...producerRows, ...serverRows, ...consumerRows, ...otherRows]
