package oauth2

// Config is exported for the tests.
type Config = config
