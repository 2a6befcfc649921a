import type { ErrorCode } from './errors.ts'

export interface ErrorMeaning {
  /** What happened, in a sentence. */
  readonly means: string
  /** What to do about it, in a sentence. */
  readonly remedy: string
}

/** What each code means; docs/errors.md is made from it. A code that has no line here does not compile. */
export const errorMeanings: Readonly<Record<ErrorCode, ErrorMeaning>> = {
  WB_NO_TRANSACTION: {
    means:
      '`publish` was given something that is not a transaction, or one that has not begun or is over; or a handler or the work of `transaction()` sent COMMIT or ROLLBACK on its `tx`.',
    remedy:
      'Pass the client on which `BEGIN` has run, or use `waybill.transaction()`; leave the end of its transactions to Waybill.',
  },
  WB_UNKNOWN_CHANNEL: {
    means: 'A channel is not in the configuration, not registered in the database, or has no handler here.',
    remedy: 'List it in `channels` and run `waybill migrate`; for a consumer, register a handler for it.',
  },
  WB_INVALID_PAYLOAD: {
    means: "The payload does not satisfy the channel's schema.",
    remedy: 'The message names the path; mend the payload. Nothing was stored.',
  },
  WB_KEY_REQUIRED: {
    means: 'A message of an ordered channel has no key, or its key is not a text of at least one character.',
    remedy: 'Give `key` to `publish` or to `defineChannel`, or declare the channel `ordered: false`.',
  },
  WB_UNSERIALISABLE: {
    means: 'The payload has no JSON form, or it or the key is not valid Unicode.',
    remedy: 'Publish plain data, or bytes with a `contentType`.',
  },
  WB_NUL_CHARACTER: {
    means: 'A key or a header holds a NUL character, which the database cannot store.',
    remedy: 'Take it out.',
  },
  WB_MESSAGE_TOO_LARGE: {
    means:
      'Payload, key and headers together are larger than the transport takes, or the key alone is too long.',
    remedy: 'Store the content elsewhere and send its address, or raise `maxBytes` here and at the broker.',
  },
  WB_TOO_MANY_KEYS: {
    means: 'One publish has more keys of ordered channels than one transaction may lock.',
    remedy: 'Split it into several transactions.',
  },
  WB_BACKLOG_FULL: {
    means:
      'As many messages of the channel wait in the outbox as its `maxPending` allows. Nothing was published.',
    remedy:
      'It is retryable: run the transaction again when they have been delivered. `waybill status` shows what holds them up.',
  },
  WB_INVALID_HEADER: {
    means:
      'The headers are not an object of texts, or one of them has a name or value that no transport carries.',
    remedy: 'Use plain names and texts as values.',
  },
  WB_INVALID_ID: {
    means: 'The `id` given to `publish` is not a UUID.',
    remedy: 'Give a UUID, or leave `id` out.',
  },
  WB_SCHEMA_MISSING: {
    means: "Waybill's tables are not in the database.",
    remedy: 'Run `waybill migrate`, and check that `schema` is the one that was migrated.',
  },
  WB_SCHEMA_OUTDATED: {
    means: "Waybill's tables are of an older version than this code.",
    remedy: 'Run `waybill migrate` before the service starts.',
  },
  WB_SCHEMA_TOO_NEW: {
    means: "Waybill's tables are of a newer version than this code can run on.",
    remedy: 'Upgrade the package in this service.',
  },
  WB_CHANNEL_CONFLICT: {
    means: 'A channel is registered with another transport or order, and messages of it wait in the outbox.',
    remedy: 'Deliver them first, or give the changed channel another name.',
  },
  WB_STORE_UNREACHABLE: {
    means:
      'The database could not be reached, or the connection was lost before the statement had an effect.',
    remedy: 'It is retryable; see that the database runs and takes connections.',
  },
  WB_STORE_CONFLICT: {
    means:
      'The database chose this transaction to give way: a deadlock, a lock time-out, a serialisation failure.',
    remedy: 'Run the whole transaction again.',
  },
  WB_STORE_FAILED: {
    means: 'The database refused a statement for another reason; `cause` holds its own error.',
    remedy: 'Read the cause: rights, space, or a schema that was changed by hand.',
  },
  WB_BROKER_UNREACHABLE: {
    means: 'No broker answered in time.',
    remedy: 'Messages wait in the outbox and are sent when one does; see that the broker runs.',
  },
  WB_INVALID_OPTION: {
    means:
      'An option is unknown, or its value is of the wrong kind or out of its limits: of a setting, or of a call such as `publish`, `send` ' +
      'or `consume`.',
    remedy: 'The message names the option, where it came from and what it must be.',
  },
  WB_INVALID_CONFIG: {
    means: 'The configuration cannot be loaded, or its parts do not fit together.',
    remedy: 'The message names the part.',
  },
  WB_GUARANTEE_UNSUPPORTED: {
    means:
      'A channel promises what its store, its transport or its settings cannot hold: nothing was started, or the `publish` or `send` was ' +
      'refused. Or a dead letter cannot be run again within what its channel promises.',
    remedy:
      'Take the nearest choice that the message names; `waybill explain` shows it too (docs/guarantees.md). Of a dead letter: do as ' +
      'the message says.',
  },
  WB_PEER_MISSING: {
    means: 'A package that a store, a transport or a command needs is not installed.',
    remedy: 'Install it; the message has the command.',
  },
  WB_NOT_RUNNING: {
    means: 'What was called is not started, or was stopped.',
    remedy: 'Call `start()` first.',
  },
  WB_TIMED_OUT: {
    means:
      'Something took longer than its time-out. Where `retryable` is `unknown` it may have had its effect.',
    remedy:
      'Look for what is slow; raise the time-out where the work is that long. Where no connection of a pool was free, look for transactions ' +
      'that stay open, or make the pool larger.',
  },
  WB_ABORTED: {
    means: 'It was given up because its signal aborted, or because Waybill is stopping.',
    remedy: 'Nothing, where the stop was meant: messages are handled at the next start.',
  },
  WB_COMMIT_OUTCOME_UNKNOWN: {
    means:
      'The connection was lost between COMMIT and its answer: the transaction may have committed or not.',
    remedy: 'Look for its rows before doing it again.',
  },
  WB_PUBLISH_OUTCOME_UNKNOWN: {
    means: 'A send got no answer in time: the message may be with the broker or not.',
    remedy: 'The relay sends it again with the same id. After `send()`, send it again only with that id.',
  },
  WB_PUBLISH_REJECTED: {
    means: '`send()` certainly did not send a message: no try of it was taken, or it can never be.',
    remedy:
      'The message names the cause. Where it is retryable, send it again with the same id; else mend the message.',
  },
  WB_CHECKPOINT_MISMATCH: {
    means:
      "A consumer's checkpoint belongs to another log than the one the broker has now: the topic was made anew.",
    remedy: 'Decide where to start in the new log, and delete the checkpoint that the message names.',
  },
  WB_FENCED_MISMATCH: {
    means: 'What the store and the broker know of the last fenced transaction of a partition does not agree.',
    remedy:
      'Find out which of the two was restored or made anew. Stop the relays. Delete from `outbox` what the broker has already, or it comes ' +
      'twice. Then tell the store where the broker is, with number and epoch of its last transaction as the message has them, or 0 and 0 ' +
      'where it has none, and start the relays: `update waybill.partitions set fenced_number = N, fenced_lineage = null, ' +
      "epoch = greatest(epoch, E) where consumer = '' and partition = P` (in your own schema, where it is not `waybill`).",
  },
  WB_TRANSACTION_ROLLED_BACK: {
    means: 'The transaction had failed before its COMMIT, which the database turned into a rollback.',
    remedy: 'Let the error of the failed statement through in place of catching it.',
  },
  WB_ENVELOPE_INVALID: {
    means: 'A message on the wire cannot be read, or cannot be written there.',
    remedy: 'It is kept as a dead letter; see who wrote it, and with which version.',
  },
  WB_VERSION_UNKNOWN: {
    means:
      'A message is of a version of its channel that this service does not know; it was kept among the dead letters.',
    remedy: 'Deploy the version that knows it, or give the channel an `upcast`; then replay the dead letter.',
  },
  WB_UPCAST_FAILED: {
    means: "The channel's `upcast` threw on a message of an older version; it is among the dead letters.",
    remedy: 'Mend the `upcast`, then replay the dead letter.',
  },
  WB_HANDLER_FAILED: {
    means: 'A handler failed, or was started again and again and never ended.',
    remedy:
      'The dead letter or the log line holds what it threw; where it never ended, it may end its process.',
  },
  WB_MESSAGE_REJECTED: {
    means: 'A handler threw `RejectMessage`: it can never handle this message, so it was given up at once.',
    remedy: 'The dead letter holds its reason. Mend the handler or the data, then replay it; or purge it.',
  },
  WB_RETRY_LATER: {
    means:
      'A handler threw `RetryLater`: the message is tried again after a pause, and its attempts do not grow by it.',
    remedy: 'Nothing, where what it waits for comes back. Else see what the handler waits for.',
  },
  WB_DEMO_FAILED: {
    means: 'A process of `waybill demo` keeps ending by itself.',
    remedy: 'Read what it wrote on stderr.',
  },
  WB_PROOF_FAILED: {
    means: 'A process of `waybill prove` keeps ending by itself.',
    remedy: 'Read what it wrote on stderr.',
  },
}
