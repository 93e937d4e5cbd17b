#!/usr/bin/env bash
# What an installation into kind comes to when its commands are typed one after the other: the yardstick.
#
#   kind_by_hand.sh CLUSTER KIND_CONFIG MANIFESTS PORTS IMAGE...      PORTS: as in "3000/api/health 9009/ready"
set -euo pipefail
cluster=$1 config=$2 manifests=$3 ports=$4
shift 4

kind create cluster --name "$cluster" --config "$config" --wait 120s
for image in "$@"; do
    docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image"
done
kind load docker-image "$@" --name "$cluster"

kubectl="kubectl --context kind-$cluster --namespace observability"
$kubectl create namespace observability
$kubectl create secret generic grafana-admin --from-literal=admin-user=admin --from-literal=admin-password=by-hand
$kubectl apply --server-side --force-conflicts -k "$manifests"
$kubectl wait --for='jsonpath={.status.readyReplicas}=1' --timeout=300s statefulset --all
for port in $ports; do
    curl --silent --show-error --fail --noproxy '*' --output /dev/null --max-time 3 \
        --retry 60 --retry-delay 1 --retry-all-errors "http://127.0.0.1:$port"
done
