// A plugin that panics where it is told to, and the programs that have it, for tests of faults.
module example.com/faultplugin

go 1.26.0
