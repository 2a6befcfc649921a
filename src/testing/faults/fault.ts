/** A fault under way. */
export interface ActiveFault {
  /** Whether it has hit anything yet: one that found nothing to hit has shown nothing. */
  readonly hasStruck: boolean
  /** Ends it; resolves when everything works again. Called once. */
  heal(): Promise<void>
}

/** Something that can go wrong, made to go wrong and mended again. */
export interface Fault {
  /** As history, report and command line name it: `kill relay-1`. */
  readonly name: string
  /** Resolves when it is in effect. */
  inject(): Promise<ActiveFault>
}
