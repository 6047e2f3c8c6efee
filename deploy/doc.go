// Package deploy is what it takes to run Sluice somewhere: container images, the hybrid-mode
// demo, Kubernetes manifests, systemd units and example settings. It owns files and the
// tests that read them with the tools that they are for; nothing in it runs.
package deploy
