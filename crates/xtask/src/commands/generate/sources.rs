//! Which tests a source file has.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Names of the tests in a file of Rust or Go, and of the parts in one of the charts' tests; none in any other file.
pub fn tests(file: &Path) -> Result<Vec<String>> {
    let find = match file.extension().and_then(|end| end.to_str()) {
        Some("rs") => rust,
        Some("go") => go,
        Some("py") => python,
        _ => return Ok(Vec::new()),
    };
    Ok(find(&fs::read_to_string(file).with_context(|| format!("cannot read \"{}\"", file.display()))?))
}

fn rust(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut marked = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if marked && let Some(name) = between(line, "fn ", "(") {
            found.push(name.to_owned());
            marked = false;
        }
    }
    found
}

fn go(text: &str) -> Vec<String> {
    let functions = text.lines().filter(|line| line.starts_with("func Test"));
    let names = functions.filter_map(|line| between(line, "func ", "("));
    // That one runs the others.
    names.filter(|name| *name != "TestMain").map(str::to_owned).collect()
}

/// Whatever is given the checks to count.
fn python(text: &str) -> Vec<String> {
    let functions = text.lines().filter(|line| line.starts_with("def "));
    functions.filter_map(|line| between(line, "def ", "(checks")).map(str::to_owned).collect()
}

fn between<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    line.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_rust_is_a_test_by_its_attribute() {
        let text = "fn helper() {}\n    #[test]\n    #[ignore]\n    fn one() {\n        other_fn (x);\n    }\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn two() -> Result {}\nfn three() {}\n";
        assert_eq!(rust(text), ["one", "two"]);
    }

    #[test]
    fn a_function_of_go_is_a_test_by_its_name() {
        let text = "func TestMain(m *testing.M) {}\nfunc TestReach(t *testing.T) {\n\tTestNothing(t)\n}\nfunc mustTest(t *testing.T) {}\n";
        assert_eq!(go(text), ["TestReach"]);
    }

    #[test]
    fn a_function_of_python_is_a_part_if_it_checks_something() {
        let text = "def routes(checks, asks, world):\n    def inner(checks):\n        pass\ndef secret(name):\n";
        assert_eq!(python(text), ["routes"]);
    }
}
