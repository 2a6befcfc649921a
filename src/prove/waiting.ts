/** Rows of the matrix of faults that need something which is not there yet. */
export interface Waiting {
  readonly for: string
  /** Their numbers, as code and tests have them: `F14`. */
  readonly rows: readonly string[]
  /** They are shown for the adapters that are there, and this one is another. */
  readonly isInPart: boolean
}

/** Named in every report, so that nobody takes a green run for the whole matrix. */
export const waiting: readonly Waiting[] = [
  { for: 'a relay that reads the log of the database', rows: ['F14', 'F15', 'T10'], isInPart: false },
  {
    for: 'two-phase commit',
    rows: ['T1', 'T2', 'T3', 'T4', 'T5', 'T6', 'T7', 'T8', 'T9', 'T11'],
    isInPart: false,
  },
  { for: 'RabbitMQ', rows: ['F8', 'F22', 'F28', 'F33'], isInPart: true },
  { for: 'SQS', rows: ['F26', 'F33', 'F36'], isInPart: true },
  { for: 'MySQL', rows: ['F2', 'F18', 'F19', 'F20'], isInPart: true },
]
