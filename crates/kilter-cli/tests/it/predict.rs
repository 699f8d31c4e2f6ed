//! `kilter predict` and `kilter plan`.

use std::fs;

use crate::room::{KILTER, Room};

#[test]
fn the_step_law_answers_with_its_limits() {
    let room = Room::new();
    let said = room.line("predict step-law --model-size 1.07e9 --tokens 56.9B").done();
    let said = said.says("1.332e-3 (").says("392 sequences").says("70876").remarks("cosine");
    assert!(!said.err.contains("extrapolated"), "{}", said.err);
    room.line("predict step-law --model-size 70B --tokens 15T").done().remarks("extrapolated: parameters");
    room.line("predict step-law --model-size 1B --tokens 57").done().remarks("--tokens 5.7e10");
    let said = room.line("predict step-law --model-size 1.07B --tokens 56.9B --constants paper --json").done().json();
    assert_eq!(said["prediction"]["constants"], "paper");
    assert!(said["prediction"]["learning_rate_interval"]["low"].as_f64().unwrap() > 0.0);
}

/// Runs that follow a law of their own exactly are fitted by it, and the file gives the same answer.
#[test]
fn a_law_is_fitted_kept_and_used() {
    let room = Room::new();
    let mut table = String::from("N,D,learning_rate,batch_sequences,loss\n");
    for n in [1e8_f64, 2e8, 4e8] {
        for d in [2e9_f64, 8e9] {
            let (best_rate, best_batch) = (0.5 * n.powf(-0.4) * d.powf(0.1), 1e-2 * d.powf(0.5));
            for rate in [-1.0_f64, -0.5, 0.0, 0.5, 1.0] {
                for batch in [-1.0_f64, 0.0, 1.0] {
                    let loss = 3.0 + 0.04 * (rate * rate + 0.5 * batch * batch);
                    let (rate, batch) = (best_rate * rate.exp2(), best_batch * batch.exp2());
                    table.push_str(&format!("{n},{d},{rate},{batch},{loss}\n"));
                }
            }
        }
    }
    fs::write(room.at("runs.csv"), table).unwrap();
    room.line("predict step-law --fit runs.csv -o law.toml")
        .done()
        .says("fitted to 6 of 90 runs")
        .says("-0.4000")
        .says("plateau at");
    let said = room.line("predict step-law --constants law.toml --model-size 3e8 --tokens 4e9 --json").done().json();
    let rate = said["prediction"]["learning_rate"].as_f64().unwrap();
    let expected = 0.5 * 3e8_f64.powf(-0.4) * 4e9_f64.powf(0.1);
    // Least squares of exact points, through text of seventeen digits.
    assert!((rate / expected - 1.0).abs() < 1e-9, "{rate} and {expected}");
}

#[test]
fn laws_stand_side_by_side_and_say_what_they_lack() {
    let room = Room::new();
    let said = room.line("predict compare --model-size 1.07B --tokens 56.9B").done();
    let said = said.says("step-law").says("1.308e-3").says("deepseek").says("remembered");
    assert!(said.err.contains("power-scheduler needs batch_tokens"), "{}", said.err);
    room.line("predict compare").with(2).remarks("--model-size 1.07B");
    room.line("predict compare --model-size -1").with(2).remarks("above 0");
}

#[test]
fn the_power_law_and_compute_classes() {
    let room = Room::new();
    // The paper's check point: 0.0011 at 1e13 tokens and 1024 sequences.
    room.line("predict power --tokens 10T --batch 1024").done().says("1.1").remarks("extrapolated: tokens");
    room.line("predict power --tokens 1T --batch 1024 --b 0.5").with(2).remarks("below 0");
    room.line("predict compute-class --tokens-per-second 20k --hours 6 --batch 128 --seq-len 512").done().says("6591");
}

#[test]
fn a_transfer_gives_every_tensor_its_rate() {
    let room = Room::new();
    let said =
        room.line("predict transfer --from-width 256 --to-width 8192 --heads 8 --set learning_rate=3.2e-3 --json");
    let said = said.done().json();
    let tensors = said["transfer"]["tensors"].as_array().unwrap().clone();
    let hidden: Vec<_> = tensors.iter().filter(|tensor| tensor["role"] == "hidden").collect();
    assert!(!hidden.is_empty());
    for tensor in hidden {
        assert!((tensor["learning_rate"].as_f64().unwrap() - 1e-4).abs() < 1e-12, "{tensor}");
    }
    room.line("predict transfer --from-width 256 --to-width 1000 --heads 16").with(2).remarks("nearest that is: 1008");
    room.line("predict parametrization --named mup").done().says("feature learning");
    room.line("predict parametrization --a=0,1/2,1/2 --b=0,0,0 --c=0").done().says("kernel");
}

#[test]
fn a_starting_point_is_a_space_that_can_be_searched() {
    let room = Room::new();
    room.line("predict start --model-size 124M --tokens 2.5B -o start.toml")
        .done()
        .says("start.toml: learning rate around");
    room.line("space check start.toml").done();
    // The help's example says where every parameter goes, as `tune` wants it.
    let (space, help) = (fs::read_to_string(room.at("start.toml")).unwrap(), room.line("predict start --help").done());
    for parameter in space.lines().filter_map(|line| line.strip_prefix("[parameters.")?.strip_suffix(']')) {
        assert!(help.out.contains(&format!("{{{parameter}}}")), "{parameter}: {}", help.out);
    }
    let named = room.line("predict start --model gpt-125m --tokens 2.5B").done();
    // 12 blocks of 12 h² and some vectors, at h = 768.
    assert!(named.out.contains("8.49") && named.out.contains("[parameters.learning_rate]"), "{}", named.out);
    room.kilter(
        ["tune", "--space", "start.toml", "--metric", "loss=(.*)", "--minimize", "--trials", "3"].iter().chain(&[
            "--",
            "sh",
            "-c",
            "echo loss={learning_rate} {batch_sequences} {weight_decay} {warmup_share} {beta2} | cut -d' ' -f1",
        ]),
    )
    .done();
}

/// Tokens are what a budget buys, or the data once; how often the data are seen is said.
#[test]
fn a_starting_point_may_be_asked_by_time_and_by_data() {
    let room = Room::new();
    let said = room.line("predict start --model-size 2M --data penelope --budget 1h --tokens-per-second 30k").done();
    said.says("1.08e8 tokens").remarks("see them").remarks("beyond four times");
    let once = room.line("predict start --model-size 2M --data penelope --token-chars 1").done();
    once.says("1.19513e5 tokens").remarks("see them 1 times");
    room.line("predict start --model-size 2M").with(2).remarks("--budget 6h --tokens-per-second 20k");
    room.line("predict start --model-size 2M --budget 6h").with(2).remarks("--tokens-per-second");
    room.line("predict start --model-size 2M --budget soon --tokens-per-second 9").with(2).remarks("30s, 10m or 2h");
    room.line("predict start --model-size 2M --data penelope --token-chars 0").with(2).remarks("more than 0");
}

/// Every prediction is drawn in every form, and each form holds what was predicted.
#[test]
fn every_prediction_has_a_figure() {
    let room = Room::new();
    let mut runs = String::from("N,D,learning_rate,batch_sequences,loss\n");
    for (rate, batch) in (0..4).flat_map(|rate| (0..4).map(move |batch| (rate, batch))) {
        let loss = 3.0 + 0.002 * (f64::from(rate - 2).powi(2) + f64::from(batch - 2).powi(2));
        runs.push_str(&format!("1e8,2e9,{},{},{loss}\n", 1e-3 * f64::from(rate).exp2(), 8.0 * f64::from(batch).exp2()));
    }
    fs::write(room.at("runs.csv"), runs).unwrap();
    fs::write(room.at("curve.csv"), losses()).unwrap();
    let all = [
        ("predict step-law --model-size 1.07B --tokens 56.9B", "prediction"),
        ("predict step-law --fit runs.csv", "surface at 0.25 %"),
        ("predict compare --model-size 1.07B --tokens 56.9B", "step-law"),
        ("predict power --tokens 1T --batch 1024", "cosine to a tenth"),
        ("predict compute-class --tokens-per-second 20k --hours 6 --batch 128 --seq-len 512", "the paper's classes"),
        ("predict transfer --from-width 256 --to-width 8192 --heads 8", "matrices inside"),
        ("predict parametrization --named ntk", "layer 2"),
        ("predict curve curve.csv --at 40B", "95 % there"),
        ("predict start --model-size 124M --tokens 2.5B -o start.toml", "one spread"),
        ("plan cluster gpt-1.3b --devices 8 --hardware a100-80 --global-batch 512", "none better in both"),
        ("plan cluster gpt-125m --devices 1 --hardware rtx-4090", "activations"),
    ];
    for (words, series) in all {
        room.line(&format!("{words} --figure=figure.html")).done().remarks("drawn into figure.html");
        let page = room.read("figure.html");
        assert!(page.contains(series) && page.contains("</html>") && !page.contains("<script"), "{words}: {page}");
        room.line(&format!("{words} --figure=figure.svg")).done();
        let svg = room.read("figure.svg");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains(series), "{words}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{words}: {svg}");
        room.line(&format!("{words} --figure=figure.json")).done();
        let figure: serde_json::Value = serde_json::from_str(&room.read("figure.json")).unwrap();
        let first = figure.get(0).unwrap_or(&figure);
        assert!(first["data"].as_array().is_some_and(|traces| !traces.is_empty()), "{words}: {figure}");
        let said = room.line(&format!("{words} --figure")).done();
        assert!(said.out.contains(series), "{words}: {}", said.out);
        let drawn = said.out.lines().filter(|line| line.contains(['│', '└', '█']));
        assert!(drawn.clone().count() > 3 && drawn.clone().all(|line| line.chars().count() <= 80), "{}", said.out);
    }
    room.line("predict power --tokens 1T --batch 1024 --figure=figure.png")
        .with(2)
        .remarks("end in .html, .svg or .json");
    room.line("predict power --tokens 1T --batch 1024 --figure --json").with(2).remarks("--figure=figure.html");
    room.line("predict compare --loss 2.5 --figure").with(2).remarks("say --tokens or --compute");
}

#[test]
fn a_model_of_ones_own_is_counted_and_planned() {
    let room = Room::new();
    let llama =
        "layers = 32\nhidden = 4096\nheads = 32\nkv_heads = 8\nffn = 14336\ngated = true\nvocabulary = 128256\n";
    fs::write(room.at("llama.toml"), llama).unwrap();
    // Blocks of Llama 3 8B without norms: 32 (4096 (4096 + 1024 + 1024 + 4096) + 3 4096 14336).
    let said = room.line("predict step-law --arch llama.toml --tokens 1T --json").done().json();
    assert_eq!(said["prediction"]["outside"][0]["value"], 6_979_321_856.0);
    room.line("predict step-law --arch llama.toml --model-size 7B --tokens 1T").with(2).remarks("cannot be used with");
    let words = "plan cluster --arch llama.toml --devices 16 --hardware h100 --global-batch 256";
    room.line(words).done().says("llama: 8.03e9 parameters");
    room.line(&format!("{words} --format megatron")).done().says("--num-query-groups 8").says("--swiglu");
    room.line(&format!("{words} --set tp=16 --cross-node")).with(2).remarks("heads of keys and values = 8");
    room.line("plan cluster --devices 16 --hardware h100 --global-batch 256").with(2).remarks("MODEL");
    fs::write(room.at("wrong.toml"), format!("{llama}kvheads = 8\n")).unwrap();
    room.line("plan cluster --arch wrong.toml --devices 1 --hardware h100").with(2).remarks("did you mean `kv_heads`?");
}

#[test]
fn the_largest_batch_that_fits_is_found() {
    let room = Room::new();
    let words = "plan cluster gpt-125m --devices 1 --hardware rtx-4090";
    room.line(words).done().says("the largest batch that fits").says("next GB");
    let said = room.line(&format!("{words} --json")).done().json();
    for filled in said["batches"].as_array().unwrap() {
        let (now, next) = (&filled["plan"]["memory"]["total_bytes"], &filled["next_bytes"]);
        // 8 % of 24 GB are kept free.
        assert!(now.as_f64().unwrap() <= 0.92 * 24e9 && next.as_f64().unwrap() > 0.92 * 24e9, "{filled}");
    }
    room.line("plan cluster gpt-6.7b --devices 1 --hardware rtx-4090").with(2).remarks("devices would do");
    room.line(&format!("{words} -o space.toml")).with(2).remarks("--global-batch");
}

#[test]
fn the_published_trainings_stand_beside_their_predictions() {
    let room = Room::new();
    room.line("plan published").done().says("gpt-1t").says("36.14").remarks("22B is not known");
    let said = room.line("plan published --json").done().json();
    assert!(said["points"][2]["error_points"].as_f64().unwrap().abs() < 6.0, "{said}");
}

#[test]
fn a_cluster_is_planned_and_its_space_can_be_searched() {
    let room = Room::new();
    let said = room
        .line(
            "plan cluster gpt-175b --devices 1024 --hardware mi250x-gcd --global-batch 10240 --set accounting=paper14",
        )
        .done()
        .says("13611 strategies divide everything: 1556 fit")
        .remarks("not measured");
    assert!(said.out.lines().all(|line| line.chars().count() <= 120), "{}", said.out);
    let words = "plan cluster gpt-1.3b --devices 16 --hardware a100-80 --global-batch 256 -o space.toml";
    room.line(words).done();
    room.line("space check space.toml").done();
    let sampled = room.line("space sample space.toml --json").done().out;
    assert!(sampled.contains("micro_batch"), "{sampled}");
    room.line(&format!("{words} --format megatron")).done().says("--tensor-model-parallel-size");
    let json = room.line(&format!("{words} --format deepspeed")).done().json();
    let product = json["train_micro_batch_size_per_gpu"].as_u64().unwrap()
        * json["gradient_accumulation_steps"].as_u64().unwrap();
    assert_eq!(256 % product, 0);
    room.line(&format!("{words} --format torchtitan")).done().says("tensor_parallel_degree");
    room.line(&format!("{words} --format slurm")).done().says("#SBATCH --nodes=2");
}

#[test]
fn an_impossible_cluster_says_what_would_do() {
    let room = Room::new();
    let on = "--hardware a100-80 --global-batch 512";
    room.line(&format!("plan cluster gpt-175b --devices 8 {on}")).with(2).remarks("devices would do");
    room.line(&format!("plan cluster gpt-175b --devices 8 --set pp=7 {on}"))
        .with(2)
        .remarks("nearest that do are 6 and 8");
    room.line(&format!("plan cluster gpt-175 --devices 8 {on}")).with(2).remarks("did you mean `gpt-175b`?");
    room.line(&format!("plan cluster layers=2,hiden=8 --devices 8 {on}")).with(2).remarks("did you mean `hidden`?");
    room.line("plan cluster gpt-1.3b --devices 8 --hardware a100 --global-batch 8").with(2).remarks("a100-80");
    room.line(&format!("plan cluster gpt-1.3b --devices 8 --set zero=1 {on}")).with(2).remarks("zero_stage");
    assert!(room.files().is_empty());
}

/// A curve that follows its law to four digits.
fn losses() -> String {
    let rows = (0..8)
        .map(|k| 1e8 * 2.0_f64.powi(k))
        .map(|tokens| format!("{tokens},{:.4}\n", 1.9 + 60.0 * tokens.powf(-0.25)));
    std::iter::once("tokens,loss\n".to_owned()).chain(rows).collect()
}

#[test]
fn a_curve_is_continued_no_further_than_it_says() {
    let room = Room::new();
    fs::write(room.at("curve.csv"), losses()).unwrap();
    let said = room.line("predict curve curve.csv --at 50B --json").done().json();
    let (value, expected) = (&said["prediction"]["value"], 1.9 + 60.0 * 5e10_f64.powf(-0.25));
    assert!(value["low"].as_f64().unwrap() < expected && value["high"].as_f64().unwrap() > expected, "{said}");
    assert!((value["estimate"].as_f64().unwrap() / expected - 1.0).abs() < 0.005, "{said} and {expected}");
    room.line("predict curve curve.csv --at 50B").done().says("loss at 5e10 tokens").remarks("as far ahead");
    room.line("predict curve curve.csv --at 3e9").done().remarks("nothing is extrapolated");
    room.line("predict curve curve.csv --at 1T").with(2).remarks("at most 16").remarks("2.0480e11");
    room.line("predict curve curve.csv --y los --at 1B").with(2).remarks("did you mean `loss`?");
    room.line("predict curve curve.csv --at 0").with(2).remarks("above 0");
    room.line("predict curve nothing.csv --at 1B").with(2).remarks("STUDY:TRIAL");
    fs::write(room.at("three.csv"), "step,loss\n1,3\n2,2.5\n3,2.4\n").unwrap();
    room.line("predict curve three.csv --at 5").with(2).remarks("3 rows");
    let report = |s: u32| format!("'{KILTER}' report --step {s} loss={}\n", 2.0 + 1.0 / (f64::from(s) + 1.0));
    room.script("t.sh", &(0..8).map(report).collect::<String>());
    room.line("tune --study t --param x=1|2 --minimize=loss --trials 1 --quiet -- sh t.sh").done();
    // 2 + 1/12.
    room.line("predict curve t:0 --at 12").done().says("loss at 12 evaluations: 2.083");
    room.line("predict curve t:9 --at 12").with(2).remarks("no trial 9");
}

/// What is no question, as a user gives it: each is refused or doubted with what would be right.
#[test]
fn wrong_questions_are_answered_with_what_would_be_right() {
    let room = Room::new();
    for (line, right) in [
        ("predict step-law --model-size 0 --tokens 20B", "above 0"),
        ("predict step-law --model-size 1B --tokens=-5", "above 0"),
        ("predict step-law --model-size 1B --tokens nan", "1.07e9, 1.07B"),
        ("predict step-law --model-size 1B", "--tokens 56.9B"),
        ("predict step-law --model-size 1B --tokens 20B --seq-len 0", "above 0"),
        ("predict step-law --model-size 1B --tokens 20B --round-to 0", "above 0"),
        ("predict step-law --model-size 1B --tokens 20B --constants papre", "paper, released, or a file"),
        ("predict power --tokens 1T --batch 0", "above 0"),
        ("predict power --tokens 1T --batch 8 --a 0", "above 0"),
        ("predict power --tokens 1T --batch 8 --b 0", "the paper's is -0.51"),
        ("predict compute-class --tokens-per-second 1000 --hours 0 --batch 1 --seq-len 1", "above 0"),
        (
            "predict compute-class --tokens-per-second 10 --hours 0.01 --batch 128 --seq-len 512",
            "smallest class that works",
        ),
        ("predict transfer --from-width 0 --to-width 512", "at least 1"),
        ("predict transfer --from-width 100 --to-width 512 --heads 8", "nearest that is"),
        ("predict start --model gpt-125n --tokens 1B", "did you mean `gpt-125m`"),
        ("predict parametrization", "--named mup"),
        ("predict step-law --fit nowhere.csv", "--fit nowhere.csv: there is no such file"),
        ("predict parametrization --a=1,2 --b=1 --c=0", "one per layer"),
        ("predict parametrization --a=1/0,2 --b=1,1 --c=0", "a fraction such as -1/2"),
        ("plan cluster gpt-1.3b --devices 0 --hardware h100 --global-batch 8", "at least 1"),
        ("plan cluster gpt-1.3b --devices 8 --hardware h100 --global-batch 0", "at least 1"),
        (
            "plan cluster gpt-1.3b --devices 6 --hardware h100 --global-batch 512 --set tp=4",
            "nearest that do are 3 and 6",
        ),
        (
            "plan cluster gpt-1.3b --devices 8 --hardware h100 --global-batch 512 --set tp=3",
            "does not divide heads = 16",
        ),
        (
            "plan cluster gpt-1.3b --devices 8 --hardware h100 --global-batch 512 --set pp=2 --set zero_stage=3",
            "set pp=1, or zero_stage to 2 or less",
        ),
        (
            "plan cluster gpt-1.3b --devices 8 --hardware h100 --global-batch 500 --set tp=1 --set pp=1 --set micro_batch=1",
            "does not divide global_batch = 500; the nearest that do are 5 and 10",
        ),
        ("plan cluster gpt-1.3b --devices 7 --hardware h100 --global-batch 512", "a batch of 518 does"),
    ] {
        room.line(line).with(2).remarks(right);
    }
    for (line, doubt) in [
        ("predict step-law --model-size 7 --tokens 140B", "say --model-size 7B"),
        ("predict start --model-size 1B --tokens 20 -o s.toml", "--tokens 2e10"),
        ("predict compare --model-size 1B --tokens 20", "--tokens 2e10"),
        ("predict start --model-size 500B --tokens 20T -o s.toml", "extrapolated: parameters"),
        ("predict power --tokens 1M --batch 1024", "extrapolated: tokens"),
    ] {
        room.line(line).done().remarks(doubt);
    }
    room.line("predict parametrization --named standard").done().says("unstable").says("the output blows up");
}

/// Tables that cannot be fitted, or only in part.
#[test]
fn runs_that_tell_too_little_are_named() {
    let room = Room::new();
    let head = "N,D,learning_rate,batch_sequences,loss\n";
    let fit = |rows: &str| {
        fs::write(room.at("runs.csv"), format!("{head}{rows}")).unwrap();
        room.line("predict step-law --fit runs.csv")
    };
    fit("1e8,2e9,1e-3,64,3\n1e8,2e9,-1,64,3.1\n").with(2).remarks("line 3: learning_rate is -1");
    fit("1e8,2e9,1e-3,many,3\n").with(2).remarks("line 2: batch_sequences is \"many\", which is no number");
    fit("1e8,2e9,1e-3,64,\n").with(2).remarks("none of 1 rows has a loss");
    let one_size: String =
        [2e9, 4e9, 8e9].iter().map(|d| format!("1e8,{d},{},{},3\n", 1e-3 * (d / 2e9), d / 3e7)).collect();
    fit(&one_size).done().remarks("it has one value only");
    let bound: String =
        [1e8, 2e8, 4e8].iter().map(|n| format!("{n},{},{},{},3\n", 20.0 * n, 1e5 / n, n / 2e6)).collect();
    fit(&bound).done().remarks("moves with the other one in every run");
    fs::write(room.at("runs.csv"), "N,D,lr,batch,los\n1,2,3,4,5\n").unwrap();
    room.line("predict step-law --fit runs.csv").with(2).remarks("there is no column loss (is it `los`?)");
}

/// A run that asks for more memory than it may have dies, and the study goes on.
#[test]
fn a_job_dies_at_its_cap_and_no_other() {
    let room = Room::new();
    let small = "--set width=64 --set context=32 --set threads=1 --set accumulation=8 --set optimizer=sgd";
    room.line(&format!(
        "tune training-job --study t {small} --set cap_mb=24 --param micro_batch=1|64 --sampler grid --workers 1 --quiet"
    ))
    .done();
    let said = room.line("trials t --json").done().json();
    let states: Vec<(i64, &str)> = said["trials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|trial| (trial["params"]["micro_batch"].as_i64().unwrap(), trial["state"].as_str().unwrap()))
        .collect();
    assert!(states.contains(&(1, "complete")) && states.contains(&(64, "failed")), "{states:?}");
}
