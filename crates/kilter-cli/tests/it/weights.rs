//! `kilter merge` and `kilter quantize`.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value as Json, json};

use crate::room::{KILTER, Room, Said, wait_until};
use crate::schemas::holds;

/// Writes a checkpoint with one f32 tensor `w` of two dimensions.
fn model(room: &Room, name: &str, numbers: &[f32]) {
    let size = 4 * numbers.len();
    let header =
        json!({ "w": { "dtype": "F32", "shape": [2, numbers.len() / 2], "data_offsets": [0, size] } }).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    fs::write(room.at(name), bytes).unwrap();
}

/// The numbers of such a checkpoint.
fn numbers(room: &Room, name: &str) -> Vec<f32> {
    let bytes = fs::read(room.at(name)).unwrap();
    let begin = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Json = serde_json::from_slice(&bytes[8..begin]).unwrap();
    assert_eq!(header["w"]["dtype"], "F32");
    bytes[begin..].chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

/// Three models; a score that is best where `w` begins with 2.
fn kitchen() -> Room {
    let room = Room::new();
    model(&room, "a.safetensors", &[1.0, 0.0, 4.0, -8.0]);
    model(&room, "b.safetensors", &[3.0, 2.0, 0.0, 8.0]);
    model(&room, "c.safetensors", &[9.0, 2.0, 0.0, 8.0]);
    // The first number of the data, which lies in the last 16 bytes.
    room.script("eval.sh", "x=$(tail -c 16 \"$1\" | od -A n -t f4 -N 4)\necho \"epoch 7\"; echo \"loss=$(awk \"BEGIN { print ($x - 2) ^ 2 }\")\"\n");
    room
}

fn greedy(room: &Room, more: &[&str]) -> Said {
    let words =
        ["merge", "soup", "--greedy", "a.safetensors", "b.safetensors", "c.safetensors", "-o", "soup.safetensors"];
    room.kilter(words.iter().chain(more).chain(&["--", "sh", "eval.sh", "{model}"]).copied())
}

#[test]
fn a_uniform_soup_is_the_mean() {
    let room = kitchen();
    room.line("merge soup a.safetensors b.safetensors --set kind=uniform -o soup.safetensors")
        .done()
        .says("soup.safetensors: 1 tensor, 16 B from 32 B");
    assert_eq!(numbers(&room, "soup.safetensors"), [2.0, 1.0, 2.0, 0.0]);
}

/// Singles score 1, 1 and 49; a with b scores 0, and c would spoil it.
#[test]
fn a_greedy_soup_keeps_what_does_not_hurt() {
    let room = kitchen();
    let said = greedy(&room, &["--minimize"]).done().says("score 0 with 2 ingredients").remarks("soup 2 of 2: ");
    assert!(said.out.lines().any(|line| line.starts_with("  c.safetensors") && line.ends_with('–')), "{}", said.out);
    assert_eq!(numbers(&room, "soup.safetensors"), [2.0, 1.0, 2.0, 0.0]);
    assert_eq!(room.files(), ["a.safetensors", "b.safetensors", "c.safetensors", "eval.sh", "soup.safetensors"]);
}

#[test]
fn the_report_of_a_greedy_soup_is_one_document() {
    let room = kitchen();
    let said = greedy(&room, &["--minimize", "--metric", "loss=([0-9.]+)", "--json", "--quiet"]).done();
    let report = said.json();
    holds("merge", &report);
    assert_eq!(report["greedy"]["single_scores"], json!([1.0, 1.0, 49.0]));
    assert_eq!(report["greedy"]["order"], json!([0, 1, 2]));
    assert_eq!(report["greedy"]["ingredients"], json!([0, 1]));
    assert_eq!(report["greedy"]["trace"][1]["accepted"], false);
    assert_eq!(report["method"], "soup");
    assert_eq!(report["settings"]["kind"], "greedy");
    assert_eq!(report["files"], json!(["soup.safetensors"]));
    let tensor = &report["tensors"][0];
    assert_eq!((&tensor["name"], &tensor["bytes"]), (&json!("w"), &json!(16)));
    assert_eq!(tensor["sha256"].as_str().unwrap().len(), 64);
    assert!(report["wall_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(said.err, "");
}

#[test]
fn a_command_may_be_one_line_of_shell() {
    let room = kitchen();
    let words =
        ["merge", "soup", "--greedy", "--minimize", "a.safetensors", "b.safetensors", "-o", "s.safetensors", "--"];
    room.kilter(words.iter().chain(&["sh eval.sh {model} | tail -n 1"]).copied()).done().says("score 0 with 2");
}

#[test]
fn task_vectors_are_scaled_and_added_to_the_base() {
    let room = kitchen();
    let line = "merge task-arithmetic --base a.safetensors b.safetensors --set scale=0.5 -o m.safetensors --json";
    let report = room.line(line).done().json();
    holds("merge", &report);
    assert_eq!(report["settings"], json!({ "scale": 0.5, "weights": [1.0], "normalize": false }));
    assert_eq!(numbers(&room, "m.safetensors"), [2.0, 1.0, 2.0, 0.0]);
}

#[test]
fn a_model_is_quantised_and_turned_back() {
    let room = kitchen();
    room.line("quantize a.safetensors --set method=uniform --set bits=8 -o q.safetensors").done().says("2×2");
    let back = room.line("quantize q.safetensors --set method=none -o f.safetensors --json").done().json();
    holds("quantize", &back);
    // Each row's largest is exact; 0 is.
    assert_eq!(numbers(&room, "f.safetensors")[..2], [1.0, 0.0]);
    assert_eq!(numbers(&room, "f.safetensors")[3], -8.0);
    let report = room.line("quantize a.safetensors --set bits=3 -o q3.safetensors --json").done().json();
    holds("quantize", &report);
    assert_eq!(report["quality"][0]["name"], "w");
    assert_eq!(report["settings"]["bits"], 3);
}

#[test]
fn wrong_calls_say_what_would_be_right_and_write_nothing() {
    let room = kitchen();
    fs::write(room.at("old.bin"), b"PK\x03\x04").unwrap();
    let before = room.files();
    for (line, told) in [
        ("merge soup a.safetensors b.safetensors --set kind=uniform", "-o out.safetensors"),
        ("merge soup a.safetensors b.safetensors -o s.safetensors", "python3 eval.py {model}"),
        ("merge soup a.safetensors b.safetensors --maximize -o s.safetensors -- true", "where the model's path goes"),
        ("merge soup a.safetensors b.safetensors -o s.safetensors -- cat {model}", "Say --maximize or --minimize"),
        (
            "merge soup a.safetensors b.safetensors --set kind=uniform -o s.safetensors -- cat {model}",
            "leave out the command",
        ),
        ("merge soup a.safetensors --set kind=uniform -o s.safetensors", "at least two models, and 1 is given"),
        ("merge soup a.safetensors b.safetensors --base c.safetensors -o s.safetensors", "a soup works without a base"),
        ("merge ties a.safetensors -o s.safetensors", "--base base.safetensors"),
        ("merge tie a.safetensors -o s.safetensors", "did you mean `ties`?"),
        ("merge linear a.safetensors b.safetensors -o a.safetensors", "the output is also an input"),
        ("merge linear a.safetensors b.safetensors --set weight_1=3 -o s.safetensors", "allowed is 0"),
        ("merge linear a.safetensors b.safetensors --set weight_1=1 --set weight_1=2 -o s.safetensors", "given twice"),
        ("merge linear a.safetensors b.safetensors --greedy -o s.safetensors", "belong to `kilter merge soup`"),
        ("merge fisher a.safetensors b.safetensors -o s.safetensors", "needs of each model the diagonal of its Fisher"),
        (
            "merge linear a.safetensors b.safetensors --statistics c.safetensors -o s.safetensors",
            "leave out --statistics",
        ),
        ("merge linear a.safetensors b.safetensors --scratch -o s.safetensors", "give the command"),
        ("merge linear a.safetensors b.safetensors -o s.safetensors -- true", "where the model's path goes"),
        ("merge linear a.safetensors b.safetensors --json -o s.safetensors -- cat {model}", "one document"),
        ("quantize a.safetensors -o q.safetensors -- true", "where the model's path goes"),
        ("tune merge tie --models a.safetensors --maximize -- cat {model}", "did you mean `ties`?"),
        ("tune merge ties --models b.safetensors --maximize -- cat {model}", "--base base.safetensors"),
        ("tune merge linear --models a.safetensors b.safetensors --maximize -- cat {model}", "--param weight_1"),
        (
            "tune merge ties --base a.safetensors --models b.safetensors --maximize -- true",
            "where the model's path goes",
        ),
        ("tune merge ties --base a.safetensors --models b.safetensors --maximize", "a command must score each model"),
        ("tune merge soup --models b.safetensors --maximize -- cat {model}", "kilter merge soup --greedy"),
        ("tune quantize nowhere.safetensors --maximize -- cat {model}", "cannot open nowhere.safetensors"),
        ("tune mlp ties --trials 1", "kilter tune merge METHOD"),
        ("merge linear a.safetensors nowhere.safetensors -o s.safetensors", "cannot open nowhere.safetensors"),
        ("merge linear a.safetensors old.bin -o s.safetensors", "python3 -c"),
        ("quantize a.safetensors --set bit=4 -o q.safetensors", "did you mean `bits`?"),
        (
            "quantize a.safetensors --set method=uniform --set exponent=global -o q.safetensors",
            "counts when method == 'power'",
        ),
        ("quantize a.safetensors --set method=none -o q.safetensors", "not a file quantised by kilter"),
        ("quantize a.safetensors -o q.bin", "must end in .safetensors"),
    ] {
        let said = room.line(line);
        said.with(2).remarks(told);
        assert_eq!(room.files(), before, "{line}");
    }
}

#[test]
fn an_evaluation_without_a_number_shows_what_it_said() {
    let room = kitchen();
    let words = "merge soup --greedy --maximize a.safetensors b.safetensors -o s.safetensors --";
    let silent = format!("{words} echo nothing to see in {{model}}");
    // The path's own digits are no numbers by themselves.
    room.line(&silent).with(1).remarks("no number was found").remarks("nothing to see in a.safetensors");
    let failing = words.split_whitespace().chain(["sh", "-c", "echo no data >&2; exit 3", "{model}"]);
    room.kilter(failing).with(1).remarks("exit status: 3").remarks("no data");
    assert!(!room.exists("s.safetensors"));
}

#[test]
fn an_interrupted_soup_leaves_nothing() {
    let room = kitchen();
    let before = room.files();
    room.script("slow.sh", "touch begun; while [ ! -e go ]; do sleep 0.02; done; echo 1\n");
    let words = ["merge", "soup", "--greedy", "--maximize", "a.safetensors", "b.safetensors", "-o", "s.safetensors"];
    let running = room.begin(words.iter().chain(&["--", "sh", "slow.sh", "{model}"]).copied());
    wait_until("an evaluation", || room.exists("begun"));
    running.signal("INT");
    fs::write(room.at("go"), "").unwrap();
    assert_eq!(running.end(), Some(3));
    assert!(room.read("err").contains("interrupted; nothing was written"), "{} {KILTER}", room.read("err"));
    for name in ["slow.sh", "begun", "go", "out", "err"] {
        fs::remove_file(room.at(name)).unwrap();
    }
    assert_eq!(room.files(), before);
}

/// The first number of `w` is 1 + 2 scale: best at scale 0.5.
#[test]
fn the_scale_of_a_merge_is_tuned_and_the_best_is_merged() {
    let room = kitchen();
    let words = "tune merge task-arithmetic --base a.safetensors --models b.safetensors --minimize --metric loss=([0-9.e-]+) \
                 --trials 12 --study scales -- sh eval.sh {model}";
    room.line(words).done();
    let best = room.line("best scales --json").done().json();
    let (scale, loss) = (best["params"]["scale"].as_f64().unwrap(), best["values"][0].as_f64().unwrap());
    assert!((loss - (2.0 * scale - 1.0).powi(2)).abs() < 1e-3, "{best}");
    // The defaults, scale 0.3, are the first trial.
    assert!(loss <= 0.1601, "{loss}");
    // Models of a trial are not kept: the best is merged again.
    let left = fs::read_dir(room.at("kilter.trials/scales/0")).unwrap();
    let left: Vec<String> = left.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(left.iter().all(|name| !name.contains("safetensors")), "{left:?}");
    room.line("merge task-arithmetic --base a.safetensors b.safetensors --from scales -o best.safetensors").done();
    assert!((f64::from(numbers(&room, "best.safetensors")[0]) - (1.0 + 2.0 * scale)).abs() < 1e-6);
}

#[test]
fn bits_are_tuned_for_error_and_size() {
    let room = kitchen();
    let words = "tune quantize a.safetensors --set method=uniform --minimize=loss --minimize=bytes --metric loss=loss=([0-9.e-]+) \
                 --trials 8 --study bits -- sh eval.sh {model}";
    room.line(words).done();
    let trials = room.trials_of(&["bits"]);
    assert_eq!(trials.len(), 8);
    for trial in &trials {
        assert_eq!(trial["state"], "complete", "{trial}");
        // One scale or one per row, an exponent, four codes in eight bytes.
        assert!([16.0, 20.0].contains(&trial["values"][1].as_f64().unwrap()), "{trial}");
    }
    room.line("quantize a.safetensors --from bits -o q.safetensors").done();
}

#[test]
fn a_command_sees_what_was_merged() {
    let room = kitchen();
    let said = room.line("merge linear a.safetensors b.safetensors -o m.safetensors -- sh eval.sh {model}").done();
    assert!(said.out.contains("loss=0"), "{}", said.out);
    assert_eq!(numbers(&room, "m.safetensors")[0], 2.0);
    room.line("merge linear a.safetensors b.safetensors --scratch -o n.safetensors -- sh -c false {model}")
        .with(1)
        .remarks("the command ended with exit status: 1");
    assert!(!room.exists("n.safetensors"));
}

/// Two trainings from one seed; their validation chooses.
#[test]
fn models_of_kilters_own_are_scored_by_their_recipe() {
    let room = Room::new();
    let words = "tune mlp --trials 3 --set epochs=2 --set layers=1 --set width=16 --set optimizer=adamw --study nets";
    room.line(words).done();
    let said = room.line("merge soup --greedy --study nets --top 2 -o soup.safetensors").done();
    assert!(said.out.contains("ingredient"), "{}", said.out);
    room.line("apply soup.safetensors --data digits").done().says("accuracy");
    room.line("merge soup --study nets --top 2 --set kind=learned --set epochs=1 -o learned.safetensors")
        .done()
        .says("loss on the validation examples");
    let nets = |at: &str| format!("kilter.trials/nets/{at}/model.safetensors");
    for of in ["fisher", "regmean"] {
        for at in ["0", "1"] {
            let line =
                format!("measure statistics {} --of {of} --examples 20 -o {of}-{at}.safetensors --json", nets(at));
            holds("measure_statistics", &room.line(&line).done().json());
        }
        let merged = format!(
            "merge {of} {} {} --statistics {of}-0.safetensors --statistics {of}-1.safetensors -o {of}.safetensors",
            nets("0"),
            nets("1")
        );
        room.line(&merged).done();
        room.line(&format!("apply {of}.safetensors --data digits")).done().says("accuracy");
    }
    room.line("quantize soup.safetensors --set bits=8 -o small.safetensors").done();
    room.line("apply small.safetensors --data digits").done().says("accuracy");
    let learned = "quantize soup.safetensors --set method=nupes --set bits=3 --set steps=100 --set calibration=64 \
                   -o learned-3.safetensors --json";
    let report = room.line(learned).done().json();
    holds("quantize", &report);
    let layers = report["learned"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for (layer, quality) in layers.iter().zip(report["quality"].as_array().unwrap()) {
        assert_eq!(layer["name"], quality["name"]);
        // The file holds what was learned.
        assert!(
            (layer["exponent"][1].as_f64().unwrap() - quality["exponent"].as_f64().unwrap()).abs() < 1e-6,
            "{report}"
        );
        assert!(layer["loss"][1].as_f64() <= layer["loss"][0].as_f64(), "{report}");
    }
    room.line("apply learned-3.safetensors --data digits").done().says("accuracy");
    for method in ["adaround", "gptq"] {
        let line = format!(
            "quantize soup.safetensors --set method={method} --set bits=3 --set calibration=64 -o {method}.safetensors --json"
        );
        let report = room.line(&line).done().json();
        holds("quantize", &report);
        let layers = report["learned"].as_array().unwrap();
        assert!(layers.iter().all(|layer| layer["loss"][1].as_f64() < layer["loss"][0].as_f64()), "{report}");
        // What the codes stand for is what was learned: packing adds no error of its own.
        assert_eq!(layers.len(), report["quality"].as_array().unwrap().len());
        for quality in report["quality"].as_array().unwrap() {
            assert!(quality["mean_squared_error"].as_f64().unwrap() < 1e-12, "{report}");
        }
    }
    let tuned = "tune quantize soup.safetensors --set method=nupes --set calibration=64 --param steps=int:100..200 --trials 2 \
                 --minimize=bytes --study codes --quiet -- test -f {model}";
    room.line(tuned).done();
    room.line("quantize soup.safetensors --set bits=8 --set activation_bits=8 -o whole.safetensors").done();
    room.line("apply whole.safetensors --data digits -o whole.csv").done().says("accuracy");
    room.line("quantize whole.safetensors --set method=none -o floats.safetensors").done();
    room.line("apply floats.safetensors --data digits -o floats.csv").done().says("accuracy");
    let probabilities = |name: &str| -> Vec<f64> {
        let text = fs::read_to_string(room.path().join(name)).unwrap();
        text.lines().skip(1).flat_map(|line| line.split(',').skip(1)).map(|word| word.parse().unwrap()).collect()
    };
    let (integers, simulated) = (probabilities("whole.csv"), probabilities("floats.csv"));
    let gaps = integers.iter().zip(&simulated).map(|(a, b)| (a - b).abs());
    assert!(gaps.clone().fold(0.0_f64, f64::max) < 1e-3, "sums of whole numbers differ by the table's rounding only");
    assert!(gaps.sum::<f64>() > 0.0, "whole numbers were summed");
    room.line("quantize soup.safetensors --data digits -o q.safetensors").with(2).remarks("--set method=nupes");
    assert!(!room.files().iter().any(|name| name.starts_with(".kilter")), "{:?}", room.files());
    room.line("merge soup --greedy --study nets --metric speed -o s.safetensors").with(2).remarks("accuracy");
    room.line("merge soup --greedy --study nowhere -o s.safetensors").with(2).remarks("nowhere");
}

/// Two residual networks from different starts: their mean says nothing about its own running statistics.
#[test]
fn running_statistics_are_measured_anew() {
    let room = Room::new();
    room.line("tune resnet --trials 2 --set epochs=1 --set width=4 --set stages=1 --set blocks=1 --set dropout=0.3 --study nets").done();
    let soup = |more: &str, out: &str| {
        let line = format!("merge soup --study nets --set kind=uniform {more} -o {out} --json");
        let report = room.line(&line).done().json();
        holds("merge", &report);
        let checksums: BTreeMap<String, String> = report["tensors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tensor| (tensor["name"].as_str().unwrap().to_owned(), tensor["sha256"].as_str().unwrap().to_owned()))
            .collect();
        checksums
    };
    let (merged, fresh) = (soup("", "merged.safetensors"), soup("--refresh-batchnorm", "fresh.safetensors"));
    assert!(merged.keys().any(|name| name.ends_with("running_var")));
    for (name, checksum) in &merged {
        assert_eq!(name.contains("running_"), fresh[name] != *checksum, "{name}");
    }
    let loss = |model: &str| {
        let said = room.line(&format!("apply {model} --data digits --json")).done().json();
        said["metrics"]["log_loss"].as_f64().unwrap()
    };
    assert!(loss("fresh.safetensors") < loss("merged.safetensors"), "statistics that fit are better");
    room.line("merge soup --greedy --study nets --refresh-batchnorm -o greedy.safetensors").done().says("ingredient");
    assert!(!room.files().iter().any(|name| name.starts_with(".kilter")), "{:?}", room.files());
    room.line("tune mlp --trials 2 --set epochs=1 --set layers=1 --set width=16 --study plain").done();
    room.line("merge soup --study plain --set kind=uniform --refresh-batchnorm -o none.safetensors")
        .with(2)
        .remarks("a `mlp` has no batch normalisation");
    assert!(!room.files().contains(&"none.safetensors".to_owned()));
}

/// `w` begins with 1 and with 3, and the score is the square of its distance from 2.
#[test]
fn the_way_between_two_models_is_scored() {
    let room = kitchen();
    let words = "measure barrier a.safetensors b.safetensors --points 3 --json";
    let said = room.line(&format!("{words} --maximize -- sh eval.sh {{model}}")).done().json();
    holds("measure_barrier", &said);
    // Losses 1, 0, 1: as a score to be large, the middle is one below the line.
    assert_eq!(said["barrier"], 1.0);
    let said = room.line(&format!("{words} --minimize -- sh eval.sh {{model}}")).done().json();
    assert_eq!(said["barrier"], 0.0);
    room.line(&format!("{words} -- sh eval.sh {{model}}")).with(2).remarks("Say --maximize or --minimize");
    room.line("measure barrier a.safetensors b.safetensors").with(2).remarks("python3 eval.py {model}");
}
