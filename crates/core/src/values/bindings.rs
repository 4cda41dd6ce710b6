//! Bindings: the way from the standard inputs to a chart's values.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::{Context, ExecutionError, Program};
use odoofleet_api::template::Binding;
use serde_json::Value;

use super::inputs::spec_field;
use super::passwords::password;
use super::{Inputs, PathError, ValuePath};

/// A binding that cannot be used, or that refuses an environment's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// A path that cannot be read or set.
    #[error(transparent)]
    Path(#[from] PathError),
    /// An expression that does not compile.
    #[error("the expression for \"{to}\" is not valid CEL: {problem}")]
    Expression {
        /// Target path.
        to: String,
        /// What the compiler says.
        problem: String,
    },
    /// An expression that fails although its inputs are there.
    #[error("the expression for \"{to}\" fails: {problem}")]
    Evaluation {
        /// Target path.
        to: String,
        /// What the interpreter says.
        problem: String,
    },
    /// An input that does not exist.
    #[error("binding of \"{to}\" names the input \"{from}\", which does not exist")]
    UnknownInput {
        /// Target path.
        to: String,
        /// The name.
        from: String,
    },
    /// Neither or both of `from` and `value`.
    #[error("binding of \"{0}\" needs exactly one of from and value")]
    Ambiguous(String),
}

/// Names that `from` may take, or begin with.
const INPUTS: [&str; 22] = [
    "customer",
    "releaseName",
    "stage",
    "replicas",
    "odooVersion",
    "postgresMajor",
    "masterPasswordSecret",
    "databaseSecret",
    "administratorSecret",
    "allowedGitHosts",
    "image",
    "addonsImage",
    "modules",
    "bootstrap",
    "mail",
    "ingress",
    "git.customerAddons",
    "resources",
    "size",
    "storage",
    "postgresql",
    "git",
];

/// One value that bindings produced.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundValue {
    /// Where it goes.
    pub to: ValuePath,
    /// The input that owns the place; for expressions the first one that they name.
    pub input: String,
    /// The value, if the input is set.
    pub value: Option<Value>,
}

/// The bindings of charts/odoo, for templates that name none.
pub fn defaults() -> Vec<Binding> {
    const DEFAULTS: [(&str, &str); 36] = [
        ("customer.id", "customer.id"),
        ("customer.name", "customer.name"),
        ("releaseNameOverride", "releaseName"),
        ("stage", "stage"),
        ("odooVersion", "odooVersion"),
        ("replicaCount", "replicas"),
        ("image", "image"),
        ("ingress.enabled", "ingress.enabled"),
        ("ingress.expose", "ingress.expose"),
        ("ingress.host", "ingress.host"),
        ("ingress.aliases", "ingress.aliases"),
        ("ingress.className", "ingress.className"),
        ("ingress.annotations", "ingress.annotations"),
        ("ingress.tls", "ingress.tls"),
        ("ingress.gateway", "ingress.gateway"),
        ("git.customerAddons", "git.customerAddons"),
        ("git.refresh", "git.refresh"),
        ("git.allowedHosts", "allowedGitHosts"),
        ("addons.image", "addonsImage"),
        ("modules.install", "modules.install"),
        ("modules.update", "modules.update"),
        ("modules.named", "modules.named"),
        ("bootstrap.adminLogin", "bootstrap.adminLogin"),
        ("bootstrap.languages", "bootstrap.languages"),
        ("bootstrap.country", "bootstrap.country"),
        ("bootstrap.timeZone", "bootstrap.timeZone"),
        ("bootstrap.demo", "bootstrap.demo"),
        ("bootstrap.databaseUuid", "bootstrap.databaseUuid"),
        ("bootstrap.existingSecret", "administratorSecret"),
        ("resources", "resources"),
        ("size", "size"),
        ("persistence.size", "storage.size"),
        ("persistence.storageClassName", "storage.className"),
        ("persistence.accessMode", "storage.accessMode"),
        ("odoo.existingSecret", "masterPasswordSecret"),
        ("postgresql.auth.existingSecret", "databaseSecret"),
    ];
    let bind = |(to, from): (&str, &str)| Binding { to: to.to_owned(), from: Some(from.to_owned()), value: None };
    let mut bindings: Vec<Binding> = DEFAULTS.into_iter().map(bind).collect();
    // Last, so that what the user says about the database is merged over the generated password's name.
    bindings.push(bind(("postgresql", "postgresql")));
    bindings.push(bind(("mail", "mail")));
    bindings
}

/// Checks bindings without an environment: every path, every input and every expression.
pub fn check(bindings: &[Binding]) -> Result<(), BindingError> {
    for binding in bindings {
        ValuePath::parse(&binding.to)?;
        match (&binding.from, &binding.value) {
            (Some(from), None) => check_input(&binding.to, from)?,
            (None, Some(expression)) => {
                check_functions(&binding.to, &compile(&binding.to, expression)?)?;
                check_inputs(&binding.to, expression)?;
            }
            _ => return Err(BindingError::Ambiguous(binding.to.clone())),
        }
    }
    Ok(())
}

fn check_input(to: &str, from: &str) -> Result<(), BindingError> {
    let known = password(from).is_some() || is_input(from);
    if known { Ok(()) } else { Err(BindingError::UnknownInput { to: to.to_owned(), from: from.to_owned() }) }
}

/// Whether environments may have an input of this name. Passwords are none: `from` alone brings them.
pub fn is_input(name: &str) -> bool {
    INPUTS.iter().any(|input| name == *input || name.strip_prefix(input).is_some_and(|rest| rest.starts_with('.')))
}

/// An expression over an input that does not exist would write nothing, and nobody would be told.
fn check_inputs(to: &str, expression: &str) -> Result<(), BindingError> {
    let first = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
    match paths(expression).map(first).find(|name| !is_input(name)) {
        Some(from) => Err(BindingError::UnknownInput { to: to.to_owned(), from }),
        None => Ok(()),
    }
}

/// The values that bindings give to an environment, in the order of the bindings.
pub fn apply(bindings: &[Binding], inputs: &Inputs) -> Result<Vec<BoundValue>, BindingError> {
    bindings.iter().map(|binding| bound(binding, inputs)).collect()
}

fn bound(binding: &Binding, inputs: &Inputs) -> Result<BoundValue, BindingError> {
    let to = ValuePath::parse(&binding.to)?;
    match (&binding.from, &binding.value) {
        (Some(from), None) => {
            check_input(&binding.to, from)?;
            // Always set: its content comes when it is read.
            let value = if password(from).is_some() { Some(Value::from("")) } else { inputs.get(from).cloned() };
            Ok(BoundValue { to, input: from.clone(), value })
        }
        (None, Some(expression)) => {
            let value = evaluate(&binding.to, expression, inputs)?;
            Ok(BoundValue { to, input: first_input(expression), value })
        }
        _ => Err(BindingError::Ambiguous(binding.to.clone())),
    }
}

/// The inputs that an expression names, as far as they can be read from its text.
pub(super) fn named_inputs(expression: &str) -> Vec<String> {
    paths(expression)
        .map(|path| {
            INPUTS.iter().filter(|input| path.starts_with(**input)).map(|_| path.to_owned()).next().unwrap_or_default()
        })
        .filter(|path| !path.is_empty())
        .collect()
}

fn paths(expression: &str) -> impl Iterator<Item = &str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let of_inputs = move |start: usize| !expression[..start].ends_with(is_path);
    let starts = expression.match_indices("inputs.").filter(move |(start, _)| of_inputs(*start));
    starts.map(move |(start, prefix)| {
        expression[start + prefix.len()..].split(|c| !is_path(c)).next().unwrap_or_default()
    })
}

fn first_input(expression: &str) -> String {
    named_inputs(expression).into_iter().next().unwrap_or_default()
}

fn compile(to: &str, expression: &str) -> Result<Program, BindingError> {
    let error = |problem: String| BindingError::Expression { to: to.to_owned(), problem };
    // The parser is generated code over user text: a panic in it is an invalid expression, not the end of the operator.
    catch_unwind(AssertUnwindSafe(|| Program::compile(expression)))
        .map_err(|_| error("the parser does not understand it".to_owned()))?
        .map_err(|problem| error(problem.to_string()))
}

/// Functions are found only when they are called, which may be never in the environments of today.
fn check_functions(to: &str, program: &Program) -> Result<(), BindingError> {
    let references = program.references();
    let named = references.functions().into_iter().filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()));
    for name in named {
        // As a function or as a method; what exists complains of its arguments.
        let mut calls = [format!("{name}()"), format!("''.{name}()")].into_iter();
        let unknown = calls.all(|call| {
            let result = compile(to, &call).map(|call| execute(&call, &Context::default()));
            matches!(result, Ok(Some(Err(ExecutionError::UndeclaredReference(_)))))
        });
        if unknown {
            return Err(BindingError::Expression {
                to: to.to_owned(),
                problem: format!("there is no function \"{name}\""),
            });
        }
    }
    Ok(())
}

fn evaluate(to: &str, expression: &str, inputs: &Inputs) -> Result<Option<Value>, BindingError> {
    let program = compile(to, expression)?;
    let error = |problem: String| BindingError::Evaluation { to: to.to_owned(), problem };
    let mut context = Context::default();
    context.add_variable("inputs", inputs.as_value()).map_err(|problem| error(problem.to_string()))?;
    match execute(&program, &context) {
        Some(Ok(value)) => value.json().map(Some).map_err(|_| error("its result is not a JSON value".to_owned())),
        Some(Err(ExecutionError::NoSuchKey(_))) => Ok(None),
        Some(Err(problem)) => Err(error(problem.to_string())),
        None => Err(error("the interpreter breaks off: write it in another way".to_owned())),
    }
}

/// Runs an expression; nothing if the interpreter panics. It works on what users wrote, as the parser does: a panic in it fails
/// the expression, not the operator.
fn execute(program: &Program, context: &Context) -> Option<Result<cel::Value, ExecutionError>> {
    catch_unwind(AssertUnwindSafe(|| program.execute(context))).ok()
}

impl BoundValue {
    /// The refusal of a value that stands on this place in a lower layer of the environment.
    pub fn collision(&self, field: &str, path: &ValuePath) -> String {
        format!("\"{field}.{path}\": set {} instead", spec_field(&self.input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(value: &str) -> Result<(), BindingError> {
        check(&[Binding { to: "a.b".into(), from: None, value: Some(value.into()) }])
    }

    #[test]
    fn the_default_bindings_are_valid() {
        assert_eq!(check(&defaults()), Ok(()));
    }

    #[test]
    fn a_function_that_does_not_exist_is_refused_with_the_template() {
        for good in [
            "inputs.replicas > 1 ? 'many' : 'one'",
            "has(inputs.ingress.host) ? [inputs.ingress.host] + inputs.ingress.aliases : []",
            "inputs.git.customerAddons.map(addon, addon.url)",
            "inputs.git.customerAddons.exists(addon, addon.url.startsWith('https'))",
            "size(inputs.ingress.aliases) + int('3')",
        ] {
            assert_eq!(expression(good), Ok(()), "{good}");
        }
        for bad in ["lower(inputs.stage)", "inputs.stage == 'Test' ? inputs.stage.shout() : ''", "1 +"] {
            assert!(matches!(expression(bad), Err(BindingError::Expression { .. })), "{bad}");
        }
    }

    #[test]
    fn an_input_that_does_not_exist_is_refused_in_expressions_as_well() {
        for good in ["inputs.ingress.host + my.inputs.x", "has(inputs.git.refresh)", "inputs.postgresql.anything", "1"]
        {
            assert_eq!(expression(good), Ok(()), "{good}");
        }
        for bad in ["inputs.ingres.host", "true ? inputs.size : inputs.colour", "inputs.databasePassword"] {
            assert!(matches!(expression(bad), Err(BindingError::UnknownInput { .. })), "{bad}");
        }
    }

    #[test]
    fn an_interpreter_that_panics_fails_the_expression_alone() {
        let mut context = Context::default();
        context.add_function("half", |number: i64| -> i64 { number / (number - 4) }).unwrap();
        assert!(execute(&compile("a", "half(4)").unwrap(), &context).is_none());
        assert!(execute(&compile("a", "1 + 1").unwrap(), &context).is_some());
    }

    #[test]
    fn inputs_must_exist_and_a_binding_has_one_source() {
        let binding = |from: Option<&str>, value: Option<&str>| {
            check(&[Binding { to: "a".into(), from: from.map(Into::into), value: value.map(Into::into) }])
        };
        assert_eq!(binding(Some("bootstrap.languages"), None), Ok(()));
        assert!(matches!(binding(Some("colour"), None), Err(BindingError::UnknownInput { .. })));
        assert!(matches!(binding(None, None), Err(BindingError::Ambiguous(_))));
        assert!(matches!(binding(Some("stage"), Some("1")), Err(BindingError::Ambiguous(_))));
    }
}
