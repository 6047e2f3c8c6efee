// Package compose is the hybrid-mode demo for Docker Compose, with dashboards and alert
// rules, and a deployment of Kong that runs Sluice when the names of its images change.
// The tests read the files with the tools' own libraries; make demo-test runs them.
package compose
