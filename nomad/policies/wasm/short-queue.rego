# The policy of short-queue.json in Rego:
#
#   opa build -t wasm -e ibrl/verdicts short-queue.rego   (then policy.wasm of bundle.tar.gz)
# (The number itself is not told: in a module format_int fails from 2^31 on, and so would every verdict.)
package ibrl

import rego.v1

max_queue := 20

verdicts := [verdict(candidate) | some candidate in input.candidates]

verdict(node) := {"pass": true, "score_ppm": floor(((max_queue - node.queueDepth) * 1000000) / max_queue), "reason": ""} if {
	node.verified
	node.queueDepth <= max_queue
} else := {"pass": false, "score_ppm": 0, "reason": reason(node)}

reason(node) := "not verified" if {
	not node.verified
} else := concat(" ", ["queue over", format_int(max_queue, 10)]) if {
	node.queueDepth > max_queue
} else := "queue is unknown"
