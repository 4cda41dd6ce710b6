// Tells which licences stand in the files of Go modules.
module odoofleet.dev/e2e/tools/licenses

go 1.26.0

require github.com/google/licensecheck v0.3.1
