//! `kilter merge` and `kilter quantize`.

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
        ("merge soup a.safetensors b.safetensors -o s.safetensors", "needs a command that scores a model"),
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
