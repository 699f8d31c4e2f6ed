//! What `--json` says is what docs/json/schema.json says it says.

use serde_json::Value as Json;

use std::fs;

use crate::room::{KILTER, LOSS, Room};

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

/// Asserts that `document` is as the schema's `definition` says.
#[track_caller]
pub fn holds(definition: &str, document: &Json) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json/schema.json");
    let root: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
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

#[test]
fn workers_reports_and_files_of_studies_are_as_their_schemas_say() {
    let room = Room::new();
    room.script("t.sh", &format!("'{KILTER}' report loss=$1 --json >> reports; [ $1 != 3 ] || exit 1\n"));
    let words = ["tune", "--json", "--minimize=loss", "--trials", "2", "--param", "x=int:1..50"];
    room.kilter(words.iter().chain(&["--", "sh", "t.sh", "{x}"])).done();
    let check = |definition: &str, line: &str| holds(definition, &room.line(&format!("{line} --json")).done().json());
    let reports = (0..2).map(|trial| room.read(&format!("kilter.trials/t/{trial}/reports"))).collect::<String>();
    let reports = if reports.is_empty() { room.read("reports") } else { reports };
    let all: Vec<Json> = serde_json::Deserializer::from_str(&reports).into_iter().map(Result::unwrap).collect();
    assert!(!all.is_empty(), "{:?}", room.files());
    all.iter().for_each(|report| holds("report", report));
    check("worker", "worker t");
    check("recompute", "show 1 --recompute");
    check("storage_check", "storage check");
    check("storage_copy", "storage copy copy.db");
    check("storage_vacuum", "storage vacuum");
}

#[test]
fn spaces_are_as_their_schemas_say() {
    let room = Room::new();
    let space = "[parameters.a]\nint = [1, 4]\n[parameters.b]\nchoice = [\"x\", \"y\"]\nwhen = \"a > 2\"\n";
    fs::write(room.at("kilter.toml"), space).unwrap();
    let check = |definition: &str, line: &str| holds(definition, &room.line(&format!("{line} --json")).done().json());
    check("space_describe", "space describe");
    check("space_describe", "space describe breast-cancer");
    for line in ["", " --param c=0..1", " --param c=int:1..9000000000000000000 --param d=int:1..9000000000000000000"] {
        check("space_check", &format!("space check{line}"));
        check("space_count", &format!("space count{line}"));
    }
    check("space_sample", "space sample -n 3");
    check("space_diff", "space diff kilter.toml breast-cancer");
    room.script("t.sh", "echo loss=1\n");
    let words = ["tune", "--quiet", "--minimize", "--metric", LOSS, "--trials", "2", "--param", "x=0..1"];
    room.kilter(words.iter().chain(&["--", "sh", "t.sh", "{x}"])).done();
    check("space_diff", "space diff --study t kilter.toml");
}

#[test]
fn data_and_diagnoses_are_as_their_schemas_say() {
    let mut room = Room::new();
    let shelf = room.at("shelf").to_string_lossy().into_owned();
    room.set("KILTER_DATA", &shelf).set("XDG_CACHE_HOME", &shelf);
    let say = |line: &str| room.line(&format!("{line} --json"));
    let check = |definition: &str, line: &str| holds(definition, &say(line).done().json());
    check("data", "data");
    check("data", "data list --kind tables");
    check("data_set", "data list wine");
    check("data_set", "data list keel");
    check("data_get", "data get wine iris");
    check("data_path", "data path wine");
    check("data_verify", "data verify");
    holds("data_verify", &say("data verify wine keel").with(1).json());
    check("tune", "tune decision-tree --trials 2 --data wine");
    check("tune", "tune decision-tree --trials 2");
    check("measure_diagnosis", "measure diagnosis");
}

#[test]
fn predictions_and_plans_are_as_their_schemas_say() {
    let room = Room::new();
    let check = |definition: &str, line: &str| holds(definition, &room.line(&format!("{line} --json")).done().json());
    check("predict_step_law", "predict step-law --model-size 1B --tokens 20B");
    check("predict_compare", "predict compare --model-size 1B --tokens 20B");
    check("predict_power", "predict power --tokens 1T --batch 1024");
    check("predict_compute_class", "predict compute-class --tokens-per-second 1e4 --hours 6 --batch 8 --seq-len 512");
    check("predict_transfer", "predict transfer --from-width 64 --to-width 512");
    check("predict_parametrization", "predict parametrization --named ntk");
    let curve = (0..6).map(|k| 2.0_f64.powi(k)).map(|x| format!("{x},{}\n", 2.0 + 1.0 / x));
    fs::write(room.at("curve.csv"), std::iter::once("step,loss\n".to_owned()).chain(curve).collect::<String>())
        .unwrap();
    check("predict_curve", "predict curve curve.csv --at 40");
    check("predict_curve", "predict curve curve.csv --at 3");
    check("predict_start", "predict start --model-size 1B --tokens 20B");
    check("plan_cluster", "plan cluster gpt-1.3b --devices 8 --hardware a100-80 --global-batch 64");
    check("plan_cluster", "plan cluster gpt-1.3b --devices 8 --hardware a100-80");
    check("plan_published", "plan published");
    fs::write(room.at("classes.csv"), "family,hours,normalised_perplexity\na,1,3\na,2,2.8\nb,1,3.1\nb,2,2.7\n")
        .unwrap();
    check("measure_scaling", "measure scaling classes.csv");
    let small = "--set layers=1 --set width=32 --set context=16 --warm-up 0 --rounds 2 --batch 2";
    check("measure_throughput", &format!("measure throughput char-gpt --set heads=2 {small}"));
}
