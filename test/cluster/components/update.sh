#!/bin/bash
# update.sh [KUBERNETES [ETCD [COREDNS [METRICS-SERVER [KWOK]]]]]: writes components.mod and components.sum anew for these versions.
set -euo pipefail
cd "$(dirname "$0")"
kubernetes=${1:-v1.36.3} etcd=${2:-v3.6.16} coredns=${3:-v1.15.0} metrics=${4:-v0.9.0} kwok=${5:-v0.8.0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
from=$(GOFLAGS=-mod=mod go mod download -json "k8s.io/kubernetes@$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
{
	echo "module testbed/components"
	grep '^go ' "$from"
	echo "require ("
	echo "	k8s.io/kubernetes $kubernetes"
	echo "	go.etcd.io/etcd/server/v3 $etcd"
	echo "	github.com/coredns/coredns $coredns"
	echo "	sigs.k8s.io/metrics-server $metrics"
	echo "	sigs.k8s.io/kwok $kwok"
	echo ")"
	echo "replace ("
	# Kubernetes requires its own parts at v0.0.0, to be replaced by whoever builds it.
	sed -n 's/^\s*\(k8s.io\/[a-z0-9.-]*\) v0\.0\.0\( .*\)\?$/\1/p' "$from" | sort -u | while read -r m; do echo "	$m => $m v0.${kubernetes#v1.}"; done
	# CoreDNS asks for a newer etcd client than the etcd server compiles with.
	for m in api client/pkg client; do echo "	go.etcd.io/etcd/$m/v3 => go.etcd.io/etcd/$m/v3 $etcd"; done
	echo ")"
	echo "tool ("
	for c in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do echo "	k8s.io/kubernetes/cmd/$c"; done
	echo "	go.etcd.io/etcd/server/v3"
	echo "	sigs.k8s.io/metrics-server/cmd/metrics-server"
	echo "	sigs.k8s.io/kwok/cmd/kwok"
	echo ")"
} >go.mod
mkdir coredns
cp "$OLDPWD/coredns.go.txt" coredns/main.go
GOFLAGS=-mod=mod GOWORK=off go list -deps tool ./coredns >/dev/null
GOFLAGS=-mod=mod GOWORK=off go mod edit -fmt
cp go.mod "$OLDPWD/components.mod"
cp go.sum "$OLDPWD/components.sum"
