#!/usr/bin/env bash
# kubectl as an independent client of a served cluster, whichever version is installed from 1.20 on.
# Usage: KUBECONFIG=FILE kubectl.sh. Each check prints a line; the exit code is 1 if any failed.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
passed=0

# check NAME EXIT-CODE PATTERN COMMAND...: runs it, and compares its exit code and a line of its output (extended regex).
check() {
    local name=$1 code=$2 pattern=$3 out got
    shift 3
    out=$("$@" 2>&1)
    got=$?
    if [[ $got != "$code" ]] || ! grep -Eq -- "$pattern" <<<"$out"; then
        printf 'FAILED %s: exit code %s (expected %s), no line like %s in\n%s\n' "$name" "$got" "$code" "$pattern" "$out"
        failed=$((failed + 1))
    else
        printf 'ok %s\n' "$name"
        passed=$((passed + 1))
    fi
}

k() { timeout 60 kubectl "$@"; }

# apply of versions before 1.24 wants the server's OpenAPI v2 in protobuf, which is not served.
novalidate=--validate=false

k version --client -o json | grep -m1 gitVersion
worker=$(k get nodes -o name | tail -n 1)
worker=${worker#node/}
[[ -n $worker ]] || { echo "no node to work with"; exit 1; }

check 'get nodes' 0 "^$worker +Ready " k get nodes
check 'get -o wide' 0 'CONTAINER-RUNTIME' k get nodes -o wide
check 'get -o yaml' 0 '^kind: Node$' k get node "$worker" -o yaml
check 'get -o jsonpath' 0 "^$worker$" k get node "$worker" -o 'jsonpath={.metadata.name}'
check 'get what is absent' 1 'nodes "absent" not found' k get node absent
check 'get of an unknown kind' 1 "the server doesn't have a resource type" k get nothings
check 'get pods of a node' 0 '^[a-z].* Running ' k get pods -A --field-selector "spec.nodeName=$worker"
check 'get with a label selector' 0 "^$worker " k get nodes -l "kubernetes.io/hostname=$worker"
check 'get in chunks' 0 ' Running ' k get pods -A --chunk-size=5
check 'get all Flux objects' 0 'flux-system' k get kustomizations -A
check 'describe a node' 0 '^Conditions:' k describe node "$worker"
check 'api-resources' 0 '^kustomizations +ks ' k api-resources
check 'api-versions' 0 '^policy/v1$' k api-versions
check 'auth can-i' 0 '^yes' k auth can-i patch nodes

check 'cordon' 0 "node/$worker cordoned" k cordon "$worker"
check 'cordon shows' 0 'SchedulingDisabled' k get node "$worker"
check 'cordon again' 0 "already cordoned" k cordon "$worker"
check 'uncordon' 0 "node/$worker uncordoned" k uncordon "$worker"
check 'taint' 0 "node/$worker tainted" k taint node "$worker" example.com/busy=yes:NoSchedule
check 'taint shows' 0 '^yes$' k get node "$worker" -o 'jsonpath={.spec.taints[?(@.key=="example.com/busy")].value}'
check 'untaint' 0 "node/$worker untainted" k taint node "$worker" example.com/busy-
check 'label and annotate' 0 'labeled' k label node "$worker" example.com/rack=a
check 'annotate' 0 'annotated' k annotate node "$worker" example.com/note=here

check 'merge patch' 0 'patched' k patch node "$worker" --type=merge -p '{"metadata":{"annotations":{"example.com/m":"1"}}}'
check 'strategic patch' 0 'patched' k patch node "$worker" --type=strategic -p '{"metadata":{"annotations":{"example.com/s":"1"}}}'
check 'JSON patch' 0 'patched' k patch node "$worker" --type=json -p '[{"op":"test","path":"/metadata/annotations/example.com~1m","value":"1"},{"op":"remove","path":"/metadata/annotations/example.com~1m"}]'
check 'JSON patch whose test fails' 1 'rejected our request|request is invalid' k patch node "$worker" --type=json -p '[{"op":"test","path":"/metadata/annotations/example.com~1s","value":"2"}]'
check 'patch of a custom resource' 0 'patched' k patch kustomization -n flux-system flux-system --type=merge -p '{"spec":{"suspend":true}}'
check 'suspend shows' 0 '^true$' k get kustomization -n flux-system flux-system -o 'jsonpath={.spec.suspend}'
check 'patch back' 0 'patched' k patch kustomization -n flux-system flux-system --type=merge -p '{"spec":{"suspend":false}}'

check 'create a namespace' 0 'namespace/trial created' k create namespace trial
cat >"$work/web.yaml" <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: trial}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: registry.example/web:1}]}
YAML
check 'apply creates' 0 'deployment.apps/web created' k apply $novalidate -f "$work/web.yaml"
check 'apply of the same' 0 'deployment.apps/web unchanged' k apply $novalidate -f "$work/web.yaml"
sed -i 's/web:1/web:2/' "$work/web.yaml"
check 'apply changes' 0 'deployment.apps/web configured' k apply $novalidate -f "$work/web.yaml"
check 'apply shows' 0 '^registry.example/web:2$' k get deployment -n trial web -o 'jsonpath={.spec.template.spec.containers[0].image}'
check 'server-side apply' 0 'serverside-applied' k apply $novalidate --server-side --force-conflicts -f "$work/web.yaml"
sed -i 's/replicas: 2/replicas: 5/' "$work/web.yaml"
check 'server-side apply in conflict' 1 'conflicts? with "kubectl' k apply $novalidate --server-side --field-manager=other -f "$work/web.yaml"
check 'scale' 0 'scaled' k scale deployment -n trial web --replicas=3
check 'scale shows' 0 '^3$' k get deployment -n trial web -o 'jsonpath={.spec.replicas}'
check 'scale in conflict' 1 'Expected replicas to be 7' k scale deployment -n trial web --replicas=1 --current-replicas=7
check 'delete' 0 'deleted' k delete deployment -n trial web

# A node of its own, with pods that a disruption budget guards.
cat >"$work/guarded.yaml" <<YAML
apiVersion: v1
kind: Node
metadata: {name: trial-node, labels: {kubernetes.io/hostname: trial-node}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: guarded, namespace: trial}
spec: {minAvailable: 1, selector: {matchLabels: {app: guarded}}}
---
apiVersion: v1
kind: Pod
metadata: {name: guarded-0, namespace: trial, labels: {app: guarded}}
spec: {nodeName: trial-node, containers: [{name: c, image: "registry.example/c:1"}]}
YAML
check 'create several' 0 'pod/guarded-0 created' k create $novalidate -f "$work/guarded.yaml"
# The status of a pod is its kubelet's to write, and this node has none.
api=$(k config view --raw -o 'jsonpath={.clusters[0].cluster.server}')
for part in certificate-authority client-certificate client-key; do
    case $part in certificate-authority) at='clusters[0].cluster' ;; *) at='users[0].user' ;; esac
    k config view --raw -o "jsonpath={.$at.$part-data}" | base64 -d >"$work/$part"
done
ready='{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'
check 'a status is patched' 0 '"phase":"Running"' curl -sS --cacert "$work/certificate-authority" --cert "$work/client-certificate" \
    --key "$work/client-key" -X PATCH -H 'Content-Type: application/merge-patch+json' -d "$ready" \
    "$api/api/v1/namespaces/trial/pods/guarded-0/status"
check 'wait --for=condition' 0 'condition met' k wait -n trial --for=condition=Ready pod/guarded-0 --timeout=10s
check 'wait in vain' 1 'timed out' k wait -n trial --for=condition=Initialized pod/guarded-0 --timeout=1s
check 'drain that a budget blocks' 1 "violate the pod's disruption budget" k drain trial-node --force --timeout=3s
check 'drain has cordoned' 0 'SchedulingDisabled' k get node trial-node
check 'delete the budget' 0 'deleted' k delete pdb -n trial guarded
check 'force delete' 0 'force deleted' k delete pod -n trial guarded-0 --grace-period=0 --force
check 'drain' 0 'drained' k drain trial-node --force --timeout=20s
check 'delete a node' 0 'deleted' k delete node trial-node
# Before 1.21 it says that the node is evicted.
check 'drain a node of the cluster' 0 '^node/.* (drained|evicted)' k drain "$worker" --ignore-daemonsets --delete-emptydir-data --force --timeout=50s
check 'uncordon it' 0 'uncordoned' k uncordon "$worker"

k get configmaps -n trial -w >"$work/watched" 2>&1 &
watcher=$!
for _ in $(seq 50); do
    k create configmap -n trial seen --from-literal=a=1 >/dev/null 2>&1
    grep -q seen "$work/watched" && break
    sleep 0.2
done
check 'get -w' 0 '^seen +1 ' cat "$work/watched"
kill "$watcher"
wait "$watcher" 2>/dev/null
check 'delete a namespace' 0 'deleted' k delete namespace trial --timeout=20s
check 'it is gone' 1 'not found' k get namespace trial

echo "$passed passed, $failed failed"
((failed == 0))
