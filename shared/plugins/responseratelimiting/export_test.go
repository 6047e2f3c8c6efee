package responseratelimiting

// Config is exported for the tests.
type Config = config
