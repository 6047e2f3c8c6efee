// Programs with a plugin that breaks the node that it runs on, for tests of what becomes
// of the node then.
module example.com/faulty

go 1.26.0
