//! What `--json` says is what docs/json/schema.json says it says.

use serde_json::Value as Json;

use crate::room::{LOSS, Room};

/// Where `value` is not as `schema` wants it. Only the words that our schema uses; any other is a mistake in it.
fn faults(root: &Json, schema: &Json, value: &Json, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let kind = |value: &Json| match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(n) if n.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            "description" | "title" | "$schema" | "$defs" => {}
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().trim_start_matches('#')).unwrap();
                found.extend(faults(root, target, value, at));
            }
            "type" => {
                let allowed: Vec<&str> = rule.as_array().map_or_else(
                    || vec![rule.as_str().unwrap()],
                    |all| all.iter().map(|t| t.as_str().unwrap()).collect(),
                );
                let is = kind(value);
                if !(allowed.contains(&is) || (is == "integer" && allowed.contains(&"number"))) {
                    found.push(format!("{at}: {is} where {allowed:?} is wanted"));
                }
            }
            "enum" => {
                if !rule.as_array().unwrap().contains(value) {
                    found.push(format!("{at}: {value} is none of {rule}"));
                }
            }
            "minimum" => {
                if value.as_f64().is_some_and(|x| x < rule.as_f64().unwrap()) {
                    found.push(format!("{at}: {value} is below {rule}"));
                }
            }
            "required" => {
                for name in rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
                    if value.is_object() && value.get(name).is_none() {
                        found.push(format!("{at}: no {name}"));
                    }
                }
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(inner) = value.get(name) {
                        found.extend(faults(root, rule, inner, &format!("{at}.{name}")));
                    }
                }
            }
            "additionalProperties" => {
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if schema.get("properties").is_some_and(|known| known.get(name).is_some()) {
                        continue;
                    }
                    match rule {
                        Json::Bool(true) => {}
                        Json::Bool(false) => found.push(format!("{at}: {name} is not documented")),
                        rule => found.extend(faults(root, rule, inner, &format!("{at}.{name}"))),
                    }
                }
            }
            "items" => {
                for (i, inner) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(faults(root, rule, inner, &format!("{at}[{i}]")));
                }
            }
            "oneOf" => {
                let all: Vec<Vec<String>> =
                    rule.as_array().unwrap().iter().map(|rule| faults(root, rule, value, at)).collect();
                if all.iter().filter(|faults| faults.is_empty()).count() != 1 {
                    found.extend(all.concat());
                }
            }
            other => panic!("{at}: the schema uses {other}, which this test does not know"),
        }
    }
    found
}

#[track_caller]
fn holds(definition: &str, document: &Json) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json/schema.json");
    let root: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let schema = root.pointer(&format!("/$defs/{definition}")).unwrap_or_else(|| panic!("no definition {definition}"));
    let faults = faults(&root, schema, document, definition);
    assert!(faults.is_empty(), "{faults:#?}\nin {document:#}");
}

#[test]
fn every_document_is_as_its_schema_says() {
    let room = Room::new();
    room.script("t.sh", "[ $1 != 2 ] || exit 3; echo loss=$2; echo size=$2\n");
    let words = ["tune", "--json", "--metric", LOSS, "--metric", "size=([0-9.]+)", "--trials", "5", "--seed", "1"];
    let command = ["--param", "x=int:1..50", "--", "sh", "t.sh", "{trial}", "{x}"];
    let tune = |more: &[&str]| room.kilter(words.iter().chain(more).chain(&command)).done().json();
    holds("tune", &tune(&["--minimize=loss", "--require", "size <= 40", "--stop-when", "trials >= 4"]));
    holds("tune", &tune(&["--minimize=loss", "--maximize=size", "--study", "two"]));
    let say = |line: &str| room.line(&format!("{line} --json"));
    let check = |definition: &str, line: &str| holds(definition, &say(line).done().json());
    check("tune", "resume t --trials 6 --stop-when trials>=6");
    check("studies", "studies");
    check("trials", "trials t");
    check("trials", "trials two --where x>20 --sort -x");
    check("best", "best t");
    check("best", "best two");
    check("show", "show 2 --study t");
    check("show", "show 0 --study two");
    check("logs", "logs 0 --study t");
    check("export", "export t");
    check("tag", "tag --study t --trial 0 a=1 b=2.5 c=true d=word");
    check("tag", "tag --study t");
    check("trials", "trials t");
    check("enqueue", "enqueue t --set x=7");
    check("retry", "retry --study t");
    check("stop", "stop t");
    check("studies", "studies");
    check("copy", "copy t u");
    check("rename", "rename u v");
    check("delete", "delete v --yes");
    check("ask", "ask by-hand --param y=0..1 --minimize=loss --trials 1");
    check("trials", "trials by-hand");
    check("tell", "tell 0 loss=1 --study by-hand");
    holds("ask", &say("ask by-hand").with(1).json());
    room.line("export t -o t.csv").done();
    check("import", "import t.csv --study again --minimize=loss");
    check("trials", "trials again");
    check("recipes", "recipes");
    check("recipe", "recipes breast-cancer");
    check("samplers", "samplers");
    check("pruners", "pruners median");
}
