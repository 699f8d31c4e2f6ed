//! `kilter measure throughput`, trainings by hours, and `kilter measure scaling`.

use std::fs;

use crate::room::Room;

/// A network that a test has time for.
const SMALL: &str = "--set layers=1 --set width=32 --set context=16";

#[test]
fn a_throughput_is_measured_and_buys_steps() {
    let room = Room::new();
    let words = format!("measure throughput char-qlstm {SMALL} --warm-up 1 --rounds 3");
    let said = room.line(&format!("{words} --largest 4")).done();
    said.says("tokens/s").says("best:").remarks("predict compute-class --tokens-per-second");
    let json = room.line(&format!("{words} --batch 2 --json")).done().json();
    let best = &json["best"];
    let (speed, step) = (best["tokens_per_second"].as_f64().unwrap(), best["step_seconds"][0].as_f64().unwrap());
    // Both come of one mean; the speed is rounded to whole tokens.
    assert!((speed - 32.0 / step).abs() <= 0.5 + 1e-6 * speed, "{json}");
    assert!(best["parameters"].as_u64() > best["parameters_without_embedding"].as_u64());
    room.line("measure throughput cnn").with(2).remarks("char-gpt, char-qlstm, char-lstm");
    room.line("measure throughput char-gtp").with(2).remarks("char-gpt");
    room.line(&format!("{words} --memory 0.001")).with(2).remarks("a smaller network or context fits");
    room.line(&format!("{words} --memory -1")).with(2).remarks("above 0");
}

/// Trainings of the same hours have the steps that the speed buys, and a study of several classes has a law.
#[test]
fn hours_buy_steps_and_families_have_laws() {
    let room = Room::new();
    // 16 tokens x 8 sequences a step: 0.001 h at 1280 tokens per second are 36 steps.
    let given = format!("{SMALL} --set batch=8 --set tokens_per_second=1280 --set learning_rate=0.01");
    for family in ["char-qlstm", "char-gpt"] {
        let heads = if family == "char-gpt" { "--set heads=2" } else { "" };
        let rest =
            "--set optimizer=adamw --set weight_decay=0.1 --set schedule=cosine --set warmup=0.05 --set dropout=0";
        room.line(&format!(
            "tune {family} {given} {heads} {rest} --param class_hours=0.0005|0.001|0.002|0.004 --sampler grid --quiet"
        ))
        .done();
    }
    let said = room.line("measure scaling char-qlstm char-gpt --figure=scaling.html").done();
    let said = said.says("char-qlstm").says("R²");
    assert!(said.out.contains("cross at") || said.out.contains("no crossing"), "{}", said.out);
    assert!(room.read("scaling.html").contains("char-gpt's law"));
    let json = room.line("measure scaling char-qlstm char-gpt --json").done().json();
    assert_eq!(json["families"].as_array().unwrap().len(), 2);
    assert_eq!(json["families"][0]["best"].as_array().unwrap().len(), 4);
    assert!(!json["families"][0]["saturating"].is_null());
    room.line("train char-qlstm --set class_hours=1e-9 --set tokens_per_second=10")
        .with(1)
        .remarks("the smallest class");
}

#[test]
fn laws_of_a_table_are_recovered() {
    let room = Room::new();
    let mut table = String::from("family,hours,normalised_perplexity\n");
    for hours in [1.0_f64, 2.0, 4.0] {
        table.push_str(&format!("gpt,{hours},{}\n", 3.0 * hours.powf(-0.05)));
        table.push_str(&format!("qlstm,{hours},{}\n", 3.3 * hours.powf(-0.1)));
    }
    fs::write(room.at("runs.csv"), &table).unwrap();
    let json = room.line("measure scaling runs.csv --json").done().json();
    let crossing = json["crossings"][0]["crossing_hours"]["estimate"].as_f64().unwrap();
    // 3 h^-0.05 = 3.3 h^-0.1.
    let expected = (3.3_f64 / 3.0).powf(1.0 / 0.05);
    assert!((crossing / expected - 1.0).abs() < 1e-9, "{crossing} and {expected}");
    room.line("measure scaling runs.csv").done().remarks("a floor needs four").remarks("extrapolated");
    fs::write(room.at("wrong.csv"), table.replace("hours,", "time,")).unwrap();
    room.line("measure scaling wrong.csv").with(2).remarks("there is no column hours");
    fs::write(room.at("one.csv"), "family,hours,normalised_perplexity\ngpt,1,3\n").unwrap();
    room.line("measure scaling one.csv").with(2).remarks("gpt:");
    fs::write(room.at("zero.csv"), "family,hours,normalised_perplexity\ngpt,0,3\ngpt,1,2\n").unwrap();
    room.line("measure scaling zero.csv").with(2).remarks("above 0");
}
