/**
 * What a broker has under the names of one run: made before it, removed after it. For demos and proofs; a service's own addresses are its
 * operators'.
 */
export interface AddressDesk {
  /** What is there by names that begin so, its addresses and its consumers. */
  list(prefix: string): Promise<AddressList>
  /**
   * Makes an address if it is not there, with so many streams that a consumer's members can share. Throws `WB_BROKER_UNREACHABLE` where that is refused or not
   * answered.
   * @default as many as the transport gives an address that is missing
   */
  create(address: string, streams?: number): Promise<void>
  /** Whether each of these consumers has so many members at least, and nothing is being shared out anew. */
  areShared(consumers: readonly string[], members: number): Promise<boolean>
  /**
   * Removes addresses, and what the broker keeps of consumers, all it can; what is not there is no matter. A consumer whose processes were killed has members
   * until their sessions end: it is waited for that. Throws `WB_TIMED_OUT` where it still has some then, and the first of several errors.
   */
  remove(addresses: readonly string[], consumers: readonly string[]): Promise<void>
  /** Removes what a transport that was moved keeps there itself, beside addresses. Of any other it is others' too, and stays. */
  removeNotes(): Promise<void>
  close(): Promise<void>
}

export interface AddressList {
  readonly addresses: readonly string[]
  readonly consumers: readonly { readonly name: string; readonly hasMembers: boolean }[]
}
