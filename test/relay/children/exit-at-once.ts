/** Preloaded: a process that ends as soon as it is told to stop, whatever it has under way (F16). */
process.once('SIGTERM', () => process.exit(0))
