//! `kilter predict` and `kilter plan`.

use std::fs;

use crate::room::Room;

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
