// An own plugin and the programs that have it: see "An own plugin" in CONTRIBUTING.md.
module example.com/ownplugin

go 1.26.0
