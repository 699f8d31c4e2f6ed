//! Spaces as text: what is right reads back the same, what is wrong is pointed at.

use std::fmt::Write;

use kilter_space::text::{Document, Format, Problem, TextError};
use kilter_space::{Defaults, Distances, Domain, Entry, Expr, Outline, Prior, Value, parse_domain};
use proptest::prelude::*;

use crate::given::{domain, plain_value, text};

fn toml(text: &str) -> Result<Outline, TextError> {
    Document::read("space.toml", text.as_bytes(), Format::Toml)?.space(&[]).and_then(|space| space.outline())
}

fn json(text: &str) -> Result<Outline, TextError> {
    Document::read("space.json", text.as_bytes(), Format::Json)?.space(&[]).and_then(|space| space.outline())
}

fn names(outline: &Outline) -> Vec<&str> {
    outline.entries().iter().map(|entry| entry.name.as_str()).collect()
}

const CONTRACT: &str = r#"
[parameters.optimizer]
choice = ["adamw", "soap"]
[parameters.learning_rate]
float = [1e-5, 1e-1]
log = true
prior = { center = 3e-4, spread = 3.0 }      # where an expert or a law expects the best (factor)
[parameters.precondition_frequency]
int = [1, 100]
log = true
when = "optimizer == 'soap'"
[parameters]
warmup_steps = "int:0..1000/100"
steps = { int = [100, 5000], default = 1000, about = "Optimiser steps", setting = true }
[[constraints]]
require = "warmup_steps < steps"
about = "Something must be left to train"
"#;

#[test]
fn the_documented_example_reads_in_order() {
    let outline = toml(CONTRACT).unwrap();
    assert_eq!(
        names(&outline),
        ["optimizer", "learning_rate", "precondition_frequency", "warmup_steps", "steps"],
        "order is kept"
    );
    let rate = outline.entry("learning_rate").unwrap();
    assert_eq!(rate.domain.to_string(), "log:1e-5..0.1");
    assert_eq!(rate.prior, Some(Prior { center: 3e-4, spread: 3.0 }));
    let steps = outline.entry("steps").unwrap();
    assert!(steps.setting && steps.default == Some(Value::Int(1000)) && steps.about == "Optimiser steps");
    assert_eq!(outline.constraints()[0].source(), "warmup_steps < steps");
}

#[test]
fn json_has_the_same_schema() {
    let outline = json(
        r#"{
  "parameters": {
    "optimizer": {"choice": ["adamw", "soap"]},
    "learning_rate": {"float": [1e-5, 1e-1], "log": true, "prior": {"center": 3e-4, "spread": 3.0}},
    "precondition_frequency": {"int": [1, 100], "log": true, "when": "optimizer == 'soap'"},
    "warmup_steps": "int:0..1000/100",
    "steps": {"int": [100, 5000], "default": 1000, "about": "Optimiser steps", "setting": true}
  },
  "constraints": [{"require": "warmup_steps < steps"}]
}"#,
    );
    assert_eq!(outline.unwrap(), toml(CONTRACT).unwrap());
}

#[test]
fn every_kind_of_domain_has_its_key() {
    let outline = toml(
        r#"
[parameters.z]
ordinal = ["s", "m", "l"]
default = "m"
[parameters.y]
subset = ["flip", "crop"]
default = ["crop"]
[parameters.x]
permutation = [1, 2, 3]
[parameters.w]
fixed = [1, [2.0, { null = true }]]
[parameters.v]
choice = [true, 1, 1.0, "1", { null = true }]
default = { null = true }
[parameters.u]
domain = "log:1e-5..1e-1"
[parameters.t]
float = [0, 1]
step = 0.05
[parameters.s]
int = [0, 0x10]
step = 4
[parameters]
r = "a|b"
"#,
    )
    .unwrap();
    let shown: Vec<String> = outline.entries().iter().map(|entry| entry.domain.to_string()).collect();
    assert_eq!(
        shown,
        [
            "ordinal:s<m<l",
            "subset:flip,crop",
            "permutation:1,2,3",
            "fixed:1,2.0,null",
            "true|1|1.0|'1'|null",
            "log:1e-5..0.1",
            "0.0..1.0/0.05",
            "int:0..16/4",
            "a|b"
        ]
    );
    assert_eq!(outline.entry("v").unwrap().default, Some(Value::Null));
}

#[test]
fn scopes_are_names_with_dots() {
    let quoted = toml("[parameters.\"tree.max_depth\"]\nint = [1, 8]\n[parameters]\n\"tree.leaf\" = \"int:1..3\"\n");
    let nested = toml("[parameters.tree]\nmax_depth.int = [1, 8]\nleaf = \"int:1..3\"\n").unwrap();
    assert_eq!(names(&nested), ["tree.max_depth", "tree.leaf"]);
    assert_eq!(quoted.unwrap(), nested);
    let beside =
        toml("[parameters.tree]\nchoice = [1, 2]\n[parameters.tree.depth]\nint = [1, 8]\nwhen = \"tree == 2\"\n");
    assert_eq!(names(&beside.unwrap()), ["tree", "tree.depth"]);
}

#[test]
fn a_condition_may_stand_before_what_it_is_about() {
    let outline = toml("[parameters.b]\nint = [1, 2]\nwhen = \"a == 1\"\n[parameters]\na = \"1|2\"\n").unwrap();
    assert_eq!(names(&outline), ["a", "b"]);
}

#[test]
fn a_step_that_does_not_divide_ends_at_the_last_point_inside() {
    let outline = toml("[parameters.x]\nfloat = [0, 1]\nstep = 0.3\ndefault = 0.9\n").unwrap();
    assert_eq!(outline.entries()[0].domain.count(), Some(4));
    assert_eq!(toml(&outline.to_toml()).unwrap(), outline, "the declared end is kept");
    let wrong = toml("[parameters.x]\nfloat = [0, 1]\nstep = 0.3\ndefault = 1.0\n").unwrap_err();
    assert_eq!(wrong.problems()[0].place(), "space.toml:4:11");
}

/// TOML, then for every problem line and column, the words underlined, and what is said, help included.
type Wrong = (&'static str, &'static [(&'static str, &'static str, &'static str)]);

#[rustfmt::skip]
const WRONG: &[Wrong] = &[
    ("", &[("", "", "no parameter is declared")]),
    ("# nothing\n", &[("", "", "[parameters.learning_rate]")]),
    ("[parameters.x\nfloat = [0, 1]\n", &[("1:13", "x", "unclosed table, expected `]`")]),
    ("[parameters]\nx = log:1e-5..1e-1\n", &[("2:5", "log:1e-5..1e-1", "string values must be quoted")]),
    ("[parameters.x]\nchoice = [\"a\", null]\n", &[("2:16", "null", "{ null = true }")]),
    ("[parameters.x]\nfloat = [0, 1]\n[parameters.x]\nint = [1, 2]\n", &[("3:13", "x", "duplicate key")]),
    ("[parametrs.x]\nfloat = [0, 1]\n", &[("1:2", "parametrs", "did you mean `parameters`?")]),
    ("[learning_rate]\nfloat = [0, 1]\n", &[("1:2", "learning_rate", "[parameters.learning_rate]")]),
    ("lunch = 1\n", &[("1:1", "lunch", "there are parameters, constraints")]),
    ("parameters = 3\n", &[("1:1", "parameters", "must be a table of parameters, not a whole number")]),
    ("[parameters.x]\nflaot = [0, 1]\n",
        &[("2:1", "flaot", "did you mean `float`?")]),
    ("[parameters.x]\nfloat = [0, 1]\nbanana = 1\n", &[("3:1", "banana", "there are float, int, choice")]),
    ("[parameters.x]\nfloat = [0, 1]\ndefualt = 0.5\n", &[("3:1", "defualt", "did you mean `default`?")]),
    ("[parameters.x]\nfloat = [0, 1]\nint = [1, 2]\n", &[("2:1", "float", "2 domains: `float` and `int`; keep one")]),
    ("[parameters.x]\nabout = \"?\"\n", &[("1:13", "x", "has no domain; write one of float = [0, 1]")]),
    ("[parameters]\nx = [0.5, 1]\n", &[("2:1", "x", "write x = { float = [0.5, 1] }")]),
    ("[parameters]\nx = [\"a\", \"b\"]\n", &[("2:1", "x", "write x = { choice = [\"a\", \"b\"] }")]),
    ("[parameters]\nx = 3\n", &[("2:5", "3", "x = { fixed = 3 }")]),
    ("[parameters.x]\nfloat = [1, 0]\n", &[("2:9", "[1, 0]", "low (1.0) must be below high (0.0); did you swap them?")]),
    ("[parameters.x]\nfloat = [1, 1]\n", &[("2:9", "[1, 1]", "low and high are both 1.0, so there is nothing to search; write fixed = 1.0")]),
    ("[parameters.x]\nfloat = [0, inf]\n", &[("2:9", "[0, inf]", "must be finite")]),
    ("[parameters.x]\nfloat = [0]\n", &[("2:9", "[0]", "two ends, and here are 1; write float = [low, high]")]),
    ("[parameters.x]\nfloat = \"0..1\"\n", &[("2:9", "\"0..1\"", "list of two numbers, not a text")]),
    ("[parameters.x]\nfloat = [0, \"1\"]\n", &[("2:13", "\"1\"", "\"1\" is not a number")]),
    ("[parameters.x]\nint = [1, 2.5]\n", &[("2:11", "2.5", "2.5 is not a whole number")]),
    ("[parameters.x]\nint = [1, 99999999999999999999]\n", &[("2:11", "99999999999999999999", "2^63-1")]),
    ("[parameters.x]\nint = [a, 2]\n", &[("2:8", "a", "string values must be quoted")]),
    ("[parameters.x]\nlog = true\nfloat = [0, 1]\n", &[("3:10", "0", "begins at 0.0; start it at 1e-6")]),
    ("[parameters.x]\nlog = true\nint = [-1, 8]\n", &[("3:8", "-1", "start it at 1")]),
    ("[parameters.x]\nlog = 1\nint = [1, 8]\n", &[("2:1", "log", "must be true or false, not a whole number")]),
    ("[parameters.x]\nint = [1, 8]\nlog = true\nstep = 2\n", &[("3:7", "true", "cannot have both log and a step")]),
    ("[parameters.x]\nint = [1, 8]\nstep = 0\n", &[("3:8", "0", "positive number, not 0")]),
    ("[parameters.x]\nint = [1, 8]\nstep = 1.5\n", &[("3:1", "step", "must be a whole number, not a float")]),
    ("[parameters.x]\nfloat = [0, 1]\nstep = 2\n", &[("3:8", "2", "longer than the range")]),
    ("[parameters.x]\nfloat = [0, 1]\nstep = \"a\"\n", &[("3:1", "step", "must be a number, not a text")]),
    ("[parameters.x]\nfloat = [0, 1]\nstep = -0.5\n", &[("3:8", "-0.5", "positive number, not -0.5")]),
    ("[parameters.x]\nchoice = [1, 2]\nlog = true\n", &[("3:1", "log", "goes with float and int, not with choice")]),
    ("[parameters.x]\ndomain = \"1..2\"\nlog = true\n", &[("3:1", "log", "say it in the domain: \"log:1e-5..1e-1\"")]),
    ("[parameters.x]\nchoice = []\n", &[("2:10", "[]", "at least one value")]),
    ("[parameters.x]\nchoice = \"a\"\n", &[("2:1", "choice", "list of values, not a text; write choice = [\"adam\"")]),
    ("[parameters.x]\nchoice = [\"a\", \"b\", \"a\"]\n", &[("2:21", "\"a\"", "the value a stands twice")]),
    ("[parameters.x]\nchoice = [1979-05-27]\n", &[("2:11", "1979-05-27", "put it in quotes")]),
    ("[parameters.x]\nchoice = [nan, 1]\n", &[("2:11", "nan", "must be finite")]),
    ("[parameters.x]\nchoice = [{ nul = true }]\n", &[("2:11", "{ nul = true }", "or { null = true }")]),
    ("[parameters]\nx = \"log:0..1\"\n", &[("2:5", "\"log:0..1\"", "start it at 1e-6")]),
    ("[parameters]\nx = \"int:1..b\"\n", &[("2:13", "b", "`b` is not a whole number")]),
    ("[parameters]\nx = \"adam\"\n", &[("2:5", "\"adam\"", "single value")]),
    ("[parameters.x]\ndomain = \"lgo:1..2\"\n", &[("2:10", "\"lgo:1..2\"", "`lgo:` starts no domain")]),
    ("[parameters.x]\nfloat = [0, 1]\ndefault = 2\n", &[("3:11", "2", "2 is not allowed; allowed is 0.0..1.0")]),
    ("[parameters.x]\nchoice = [\"a\"]\ndefault = \"b\"\n", &[("3:11", "\"b\"", "b is not allowed")]),
    ("[parameters.x]\nfloat = [0, 1]\nprior = 0.5\n", &[("3:9", "0.5", "must be a table, not a float")]),
    ("[parameters.x]\nfloat = [0, 1]\nprior = { center = 0.5 }\n", &[("3:9", "{ center = 0.5 }", "has no `spread`")]),
    ("[parameters.x]\nfloat = [0, 1]\nprior = { centre = 0.5, spread = 1 }\n",
        &[("3:11", "centre", "did you mean `center`?")]),
    ("[parameters.x]\nfloat = [0, 1]\nprior = { center = 5, spread = 1 }\n", &[("3:20", "5", "lies outside 0.0 to 1.0")]),
    ("[parameters.x]\nfloat = [0, 1]\nprior = { center = 0.5, spread = 0 }\n", &[("3:34", "0", "must be above 0")]),
    ("[parameters.x]\nfloat = [1, 9]\nlog = true\nprior = { center = 5, spread = 1 }\n",
        &[("4:32", "1", "a factor, which must be above 1")]),
    ("[parameters.x]\nchoice = [1]\nprior = { center = 1, spread = 1 }\n",
        &[("3:9", "{ center = 1, spread = 1 }", "only a float or int range")]),
    ("[parameters.x]\nfloat = [0, 1]\ndistances = [[0, 1], [1, 0]]\n",
        &[("3:13", "[[0, 1], [1, 0]]", "only a choice has them")]),
    ("[parameters.x]\nchoice = [1, 2]\ndistances = 3\n",
        &[("3:13", "3", "must be a list of lists of numbers")]),
    ("[parameters.x]\nchoice = [1, 2]\ndistances = [[0, 1], [\"near\", 0]]\n",
        &[("3:22", "[\"near\", 0]", "must be a list of numbers")]),
    ("[parameters.x]\nchoice = [1, 2, 3]\ndistances = [[0, 1], [1, 0]]\n",
        &[("3:13", "[[0, 1], [1, 0]]", "2 rows for 3 values")]),
    ("[parameters.x]\nchoice = [1, 2, 3]\ndistances = [[0, 1, 1], [1, 0, 1]]\n",
        &[("3:13", "[[0, 1, 1], [1, 0, 1]]", "2 rows for 3 values")]),
    ("[parameters.x]\nchoice = [1, 2]\ndistances = [[0, 1], [1]]\n",
        &[("3:22", "[1]", "row 2 has 1 distances of 2")]),
    ("[parameters.x]\nchoice = [1, 2]\ndistances = [[0, -1], [1, 0]]\n",
        &[("3:14", "[0, -1]", "-1.0 is no distance")]),
    ("[parameters.x]\nchoice = [1, 2]\ndistances = [[0, 1], [1, 2]]\n",
        &[("3:22", "[1, 2]", "it must be 0")]),
    ("[parameters.x]\nchoice = [1, 2]\ndistances = [[0, 0], [1, 0]]\n",
        &[("3:14", "[0, 0]", "one must be farther")]),
    ("[parameters.x]\nfloat = [0, 1]\nwhen = \"y >> 1\"\n[parameters]\ny = \"1|2\"\n",
        &[("3:12", ">", "`>` is out of place")]),
    ("[parameters.x]\nfloat = [0, 1]\nwhen = 'y ='\n", &[("3:11", "=", "equality is written ==")]),
    ("[parameters.x]\nfloat = [0, 1]\nwhen = \"y and\"\n", &[("3:14", "\"", "ends too early")]),
    ("[parameters.x]\nfloat = [0, 1]\nwhen = \"\\\"é\\\" == \\u00e9 & y\"\n", &[("3:25", "&", "write and")]),
    ("[parameters.x]\nfloat = [0, 1]\nwhen = \"\"\"\n  y == \\\n  1 and\n  not & 2\"\"\"\n", &[("6:7", "&", "write and")]),
    ("[parameters.x]\nfloat = [0, 1]\nwhen = true\n", &[("3:1", "when", "must be a text, not true or false")]),
    ("[parameters.x]\nfloat = [0, 1]\nwhen = \"optimzer == 'sgd'\"\n[parameters]\noptimizer = \"sgd|adam\"\n",
        &[("3:9", "optimzer", "there is no hyperparameter `optimzer`; did you mean `optimizer`?")]),
    ("[parameters.x]\nfloat = [0, 1]\nwhen = \"optimizer == sgd\"\n[parameters]\noptimizer = \"sgd|adam\"\n",
        &[("3:22", "sgd", "write 'sgd' if a text is meant")]),
    ("[parameters.x]\nfloat = [0, 1]\nwhen = \"y == 1\"\n[parameters.y]\nchoice = [1]\nwhen = \"x > 0\"\n",
        &[("3:8", "\"y == 1\"", "wait for each other")]),
    ("[parameters]\nx = \"0..1\"\n[[constraints]]\nrequire = \"x < z\"\n", &[("4:16", "z", "no hyperparameter `z`")]),
    ("[parameters]\nx = \"0..1\"\n[[constraints]]\nrequired = \"x < 1\"\n",
        &[("4:1", "required", "did you mean `require`?")]),
    ("[parameters]\nx = \"0..1\"\n[[constraints]]\nabout = \"?\"\n", &[("3:1", "[[constraints]]", "requires nothing")]),
    ("[parameters]\nx = \"0..1\"\n[constraints]\nrequire = \"x < 1\"\n",
        &[("3:2", "constraints", "write [[constraints]] with two brackets")]),
    ("constraints = [\"x < 1\"]\n[parameters]\nx = \"0..1\"\n", &[("1:16", "\"x < 1\"", "write require")]),
    ("[parameters]\n\"1x\" = \"0..1\"\n", &[("2:1", "\"1x\"", "for example `_1x`")]),
    ("[parameters.min]\nfloat = [0, 1]\n", &[("1:13", "min", "a word of the condition grammar")]),
    ("[parameters]\n\"\" = \"0..1\"\n", &[("2:1", "\"\"", "needs a name")]),
    ("[parameters.x]\nfloat = [0, 1]\nabout = 3\n", &[("3:1", "about", "must be a text")]),
    ("[parameters.x]\nfloat = [0, 1]\nsetting = \"yes\"\n", &[("3:1", "setting", "must be true or false")]),
    ("[parameters.a]\nfloat = [1, 0]\n[parameters.b]\nint = [0, 1]\nlog = true\n[parameters.c]\nwhen = \"a +\"\n",
        &[("2:9", "[1, 0]", "swap"), ("4:8", "0", "start it at 1"), ("6:13", "c", "no domain"),
          ("7:12", "\"", "ends too early")]),
];

#[test]
fn what_is_wrong_is_pointed_at() {
    let mut wrong = String::new();
    for (text, expected) in WRONG {
        let told = match toml(text) {
            Err(told) => told,
            Ok(_) => {
                writeln!(wrong, "accepted: {text}").unwrap();
                continue;
            }
        };
        // Every problem stands in one line of the error.
        let lines: Vec<String> = told.to_string().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), told.problems().len(), "{told}");
        let fits = told.problems().len() == expected.len()
            && told.problems().iter().zip(&lines).zip(*expected).all(|((problem, line), (place, word, says))| {
                let at = if place.is_empty() { "space.toml".to_owned() } else { format!("space.toml:{place}") };
                problem.place() == at && problem.underlined() == *word && line.contains(says)
            });
        if !fits {
            let underlined: Vec<&str> = told.problems().iter().map(Problem::underlined).collect();
            writeln!(wrong, "{text}--- told:\n{told}\n--- underlined {underlined:?}, expected {expected:?}\n").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn json_is_pointed_at_too() {
    for (text, place, word, says) in [
        ("", "1:1", "", "EOF while parsing a value"),
        ("[]", "1:1", "[]", "expected an object, not a list"),
        ("{\"parameters\":\n {\"x\": }}", "2:8", "}", "expected value"),
        ("{\"parameters\":\n {\"x\": {\"float\": [1, 0]}}}", "2:18", "[1, 0]", "did you swap them?"),
        ("{\"parameters\": {\"x\": \"0..1\", \"x\": \"0..2\"}}", "1:30", "\"x\"", "`x` stands twice; drop one"),
        (
            "{\"parameters\": {\"x\": {\"float\": [0, 1], \"when\": \"\\u0061 \\ud83e\\udd80\"}}}",
            "1:56",
            "\\ud83e\\udd80",
            "does not belong to conditions",
        ),
        ("{\"parameters\": {\"x\": {\"int\": [0, 1e400]}}}", "1:34", "1e400", "number out of range"),
        (
            "{\"parameters\": {\"x\": {\"choice\": [\"\\ud800\"]}}}",
            "1:34",
            "\"\\ud800\"",
            "unexpected end of hex escape",
        ),
    ] {
        let told = json(text).unwrap_err();
        let problem = &told.problems()[0];
        assert!(
            problem.place() == format!("space.json:{place}")
                && problem.underlined() == word
                && told.to_string().contains(says),
            "{text}: {told}\n{:?}",
            problem.underlined()
        );
    }
    let deep = format!("{{\"parameters\": {{\"x\": {{\"fixed\": {}1{}}}}}}}", "[".repeat(5000), "]".repeat(5000));
    assert!(json(&deep).unwrap_err().to_string().contains("nests more than 100 deep"));
}

#[test]
fn a_file_that_is_no_text() {
    let bytes = b"[parameters.x]\nabout = \"\xff\"\n";
    let told = Document::read("space.toml", bytes, Format::Toml).unwrap_err();
    assert_eq!(told.to_string(), "space.toml:2:10: byte 25 is not UTF-8 text; save the file as UTF-8");
}

#[test]
fn ten_thousand_choices_and_a_message_that_can_be_read() {
    let mut list = String::new();
    for i in 0..10_000 {
        write!(list, "\"choice-{i}\", ").unwrap();
    }
    let outline = toml(&format!("[parameters.x]\nchoice = [{list}]\n")).unwrap();
    assert_eq!(outline.entries()[0].domain.count(), Some(10_000));
    assert_eq!(toml(&outline.to_toml()).unwrap(), outline);
    let told = toml(&format!("[parameters.x]\nchoice = [{list}\"choice-77\"]\n")).unwrap_err();
    assert_eq!(told.problems()[0].underlined(), "\"choice-77\"");
    let told = toml(&format!("[parameters.x]\nchoice = [{list}]\ndefault = \"none\"\n")).unwrap_err();
    assert!(told.to_string().len() < 500, "{told}");
}

#[test]
fn a_thousand_conditions_in_a_row() {
    let mut text = "[parameters]\np0 = \"0|1\"\n".to_owned();
    for i in 1..=1000 {
        write!(text, "[parameters.p{i}]\nchoice = [0, 1]\ndefault = 1\nwhen = \"p{} == 1\"\n", i - 1).unwrap();
    }
    text = text.replace("p0 = \"0|1\"", "p0 = { choice = [0, 1], default = 1 }");
    let outline = toml(&text).unwrap();
    assert_eq!(outline.entries().len(), 1001);
    assert_eq!(Defaults::config(&outline).unwrap().answers().len(), 1001);
    assert_eq!(toml(&outline.to_toml()).unwrap(), outline);
    let nested = format!("[parameters.x]\nfloat = [0, 1]\nwhen = \"{}x{}\"\n", "(".repeat(1000), ")".repeat(1000));
    assert_eq!(toml(&nested).unwrap_err().problems()[0].place(), "space.toml:3:74");
}

#[test]
fn windows_line_ends_and_tabs_do_no_harm() {
    let outline = toml(&CONTRACT.replace('\n', "\r\n")).unwrap();
    assert_eq!(outline, toml(CONTRACT).unwrap());
    let told = toml("[parameters.x]\r\n\tfloat = [1, 0]\r\n").unwrap_err();
    assert_eq!((told.problems()[0].place().as_str(), told.problems()[0].underlined()), ("space.toml:2:10", "[1, 0]"));
}

#[test]
fn keys_of_another_schema_pass_where_they_are_known() {
    let document = Document::read("kilter.toml", b"trials = 3\n[parameters]\nx = \"0..1\"\n", Format::Toml).unwrap();
    assert!(document.space(&[]).is_err());
    assert_eq!(document.space(&["trials"]).unwrap().entries().count(), 1);
}

/// Distances follow their values into another order or fewer, and end with a value that has none.
#[test]
fn distances_go_with_their_values() {
    let text = "[parameters.x]\nchoice = ['a', 'b', 'c']\ndistances = [[0, 1, 2], [1, 0, 4], [2, 4, 0]]\n";
    let space = Document::read("s.toml", text.as_bytes(), Format::Toml).unwrap().space(&[]).unwrap();
    let with = |domain: &str| {
        let mut space = space.clone();
        space.replace("x", parse_domain(domain).unwrap()).unwrap();
        space.outline().unwrap().entry("x").unwrap().distances.clone().map(Vec::<Vec<f64>>::from)
    };
    assert_eq!(with("c|b"), Some(vec![vec![0.0, 4.0], vec![4.0, 0.0]]));
    assert_eq!(with("a|b|d"), None);
    assert_eq!(with("0..1"), None);
    let outline = space.outline().unwrap();
    let change = text.replace("4", "3");
    let other = Document::read("s.toml", change.as_bytes(), Format::Toml).unwrap().space(&[]).unwrap();
    let changes = kilter_space::diff(&outline, &other.outline().unwrap());
    assert_eq!(changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["x: other distances between its values"]);
    // What a space leaves unsaid is as declared.
    let narrower = Document::read("s.toml", b"[parameters]\nx = 'a|b'\n", Format::Toml).unwrap().space(&[]).unwrap();
    let over = narrower.over(&outline).unwrap();
    assert!(over.entry("x").unwrap().distances.is_some());
    // Written by hand as JSON, they may not fit.
    let broken = serde_json::to_string(&outline).unwrap().replace("[\"a\",\"b\",\"c\"]", "[\"a\",\"b\"]");
    let told = serde_json::from_str::<Outline>(&broken).unwrap_err().to_string();
    assert!(told.contains("3 rows for 2 values"), "{told} {broken}");
}

#[test]
fn a_parameter_can_be_replaced() {
    let mut space = Document::read("s.toml", CONTRACT.as_bytes(), Format::Toml).unwrap().space(&[]).unwrap();
    space.replace("learning_rate", parse_domain("0..0.1").unwrap()).unwrap();
    space.replace("steps", parse_domain("int:1..10").unwrap()).unwrap();
    space.replace("new", parse_domain("a|b").unwrap()).unwrap();
    assert!(space.replace("not a name", parse_domain("a|b").unwrap()).is_err());
    let outline = space.outline().unwrap();
    assert_eq!(names(&outline).last(), Some(&"new"));
    assert!(outline.entry("learning_rate").unwrap().prior.is_some(), "a prior that still fits stays");
    assert_eq!(outline.entry("steps").unwrap().default, None, "1000 is outside");
}

#[test]
fn one_name_may_have_a_domain_for_each_case() {
    let text = "[parameters]\nkind = \"a|b\"\n[[parameters.depth]]\nint = [1, 8]\nwhen = \"kind == 'a'\"\n\
                [parameters.x]\nfloat = [0.0, 1.0]\n[[parameters.depth]]\nint = [1, 64]\nwhen = \"kind == 'b'\"\n";
    let outline = toml(text).unwrap();
    assert_eq!(names(&outline), ["kind", "depth", "x", "depth"]);
    assert_eq!(toml(&outline.to_toml()).unwrap(), outline);
    let both = text.replace("kind == 'b'", "kind == 'a'");
    assert!(toml(&both).unwrap_err().to_string().contains("declared twice"));
}

fn name() -> impl Strategy<Value = String> {
    let traps = ["float", "prior", "tree.depth", "tree.depth.x", "größe", "_", "require", "parameters", "数.a"];
    prop_oneof![prop::sample::select(traps.to_vec()).prop_map(str::to_owned), "[a-z_][a-z0-9_.]{0,6}"]
}

prop_compose! {
    fn entry()(
        name in name(),
        domain in domain(),
        with_default in any::<bool>(),
        share in 0.0..1.0_f64,
        spread in prop::option::of(1.5..1e9_f64),
        setting in any::<bool>(),
        about in text(),
    ) -> Option<Entry> {
        let mut entry = Entry::new(&name, domain).ok()?;
        if with_default {
            entry.default = Some(entry.domain.at_share(share));
        }
        if let (Domain::Float(_) | Domain::Int(_), Some(spread), Some(center)) =
            (&entry.domain, spread, entry.domain.at_share(share).as_f64())
        {
            entry.prior = Some(Prior { center, spread });
        }
        if let (Domain::Choice(choice), Some(spread)) = (&entry.domain, spread) {
            let count = choice.values().len();
            let row = |from: usize| (0..count).map(|to| spread * from.abs_diff(to) as f64).collect::<Vec<f64>>();
            entry.distances = Distances::new(&(0..count).map(row).collect::<Vec<_>>()).ok();
        }
        entry.setting = setting;
        entry.about = about;
        Some(entry)
    }
}

prop_compose! {
    fn outline()(
        entries in prop::collection::vec(entry(), 1..6),
        conditions in prop::collection::vec(prop::option::of((any::<prop::sample::Index>(), plain_value())), 6),
        constraint in prop::option::of(any::<prop::sample::Index>()),
    ) -> Option<Outline> {
        let mut entries: Vec<Entry> = entries.into_iter().collect::<Option<_>>()?;
        for i in 1..entries.len() {
            if let Some((other, value)) = &conditions[i] {
                let other = entries[other.index(i)].name.clone();
                let quoted = format!("\"{}\"", value.to_string().replace('"', ""));
                let condition = format!("{other} == {quoted}\n or not ({other} != 3)");
                entries[i] = entries[i].clone().when(&condition).ok()?;
            }
        }
        let constraints = constraint.map(|at| {
            let name = &entries[at.index(entries.len())].name;
            Expr::parse(&format!("{name} < 3 or {name} >= 3 or {name} in ['\\', 'a\tb']"))
        });
        Outline::constrained(entries, constraints.transpose().ok()?.into_iter().collect()).ok()
    }
}

proptest! {
    #[test]
    fn a_written_space_reads_back_the_same(outline in outline().prop_filter_map("a space", |outline| outline)) {
        let text = outline.to_toml();
        let read = toml(&text).map_err(|why| TestCaseError::fail(format!("{why}\n{text}")))?;
        prop_assert_eq!(&read, &outline, "{}", text);
        prop_assert_eq!(read.fingerprint(), outline.fingerprint());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,80}", lines in prop::collection::vec(piece(), 0..8)) {
        for text in [text, lines.join("\n"), lines.concat()] {
            for told in [toml(&text), json(&text)].into_iter().filter_map(Result::err) {
                prop_assert!(!told.problems().is_empty());
                let shown = told.problems().iter().map(rendered).collect::<String>();
                prop_assert!(!shown.is_empty());
            }
        }
    }
}

/// Pieces of spaces, right ones and wrong ones.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "[parameters.x]",
        "[parameters.y]",
        "[parameters]",
        "[[parameters.x]]",
        "[[constraints]]",
        "float = [0, 1]",
        "int = [1, 8]",
        "log = true",
        "step = 3",
        "choice = [\"a\", 1, { null = true }]",
        "when = \"y == 1\"",
        "when = '''",
        "'''",
        "require = \"x <\\u0020= y\"",
        "prior = { center = 1, spread = \"é\" }",
        "x = \"0..1\"",
        "y.z = \"int:1..b\"",
        "{",
        "}",
        "\"parameters\":",
        "\"x\":",
        "[1, 2]",
        "{\"float\": [1, 0]}",
        ",",
        "\t",
        "\r\n",
        "x.y.z.float = [0, 1]",
        "default = 1979-05-27",
        "domain = \"\\U0001F980|\\U0001F980\"",
        "\u{1b}[31m",
    ];
    prop::sample::select(pieces.to_vec()).prop_map(str::to_owned)
}

fn rendered(problem: &Problem) -> String {
    format!("{}: {problem} at {:?}", problem.place(), problem.underlined())
}
