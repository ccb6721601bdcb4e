//go:build tools

// Package testbed pins the programs that the tests run.
package testbed

import _ "github.com/open-policy-agent/opa"
