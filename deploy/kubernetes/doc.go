// Package kubernetes is a kustomize base with one control plane and a scaled set of data
// planes. Its tests build it as kubectl does, decode it strictly as the API server does,
// and hold it to the rules that clusters ask of workloads.
package kubernetes
