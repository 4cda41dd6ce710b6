// Holds the namespaces of a pod of the node of `cargo xtask up --real`.
module odoofleet.dev/e2e/tools/pause

go 1.26.0
