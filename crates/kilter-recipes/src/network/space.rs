//! The hyperparameters of every network, and the settings of a training.

use kilter_space::{Domain, Entry, Outline, SpaceError, Value, parse_domain};

use super::Kind;
use super::texts::SMALL;

fn entry(name: &str, domain: &str, default: impl Into<Value>, about: &str) -> Result<Entry, SpaceError> {
    let domain = parse_domain(domain).unwrap_or_else(|why| unreachable!("the domain of {name}: {why}"));
    Ok(Entry::new(name, domain)?.default(default)?.about(about))
}

/// How weights are learnt, whatever the network.
fn training(rate: f64, decay: f64, dropout: f64, schedules: &str) -> Result<Vec<Entry>, SpaceError> {
    let peak = entry("learning_rate", "log:1e-5..1e-1", rate, "the peak rate")?;
    Ok(vec![
        // The power schedule has its own.
        if schedules.contains("power") { peak.when("schedule != 'power'")? } else { peak },
        entry("optimizer", "adamw|adam|nadam|lion|muon|adafactor|sgd", "adamw", "how steps follow from gradients")?,
        entry("momentum", "0..0.99", 0.9, "share of the last step that is kept")?.when("optimizer == 'sgd'")?,
        entry("weight_decay", "log:1e-6..1", decay, "pull of matrices towards zero")?,
        entry("batch", "int:log:8..512", 32_i64, "examples per step")?,
        entry("schedule", schedules, "cosine", "how the rate falls")?,
        entry("warmup", "0..0.5", 0.05, "share of the steps in which the rate rises")?,
        entry("dropout", "0..0.7", dropout, "share of hidden numbers that a step leaves out")?,
    ])
}

fn settings(data: &str) -> Result<Vec<Entry>, SpaceError> {
    Ok(vec![
        entry("clip", "0..1e6", 1.0, "longest gradient; 0: any")?.setting(),
        entry(
            "sam.rho",
            "0..1",
            0.0,
            "how far uphill the gradient is taken (sharpness-aware); 0: where the weights are",
        )?
        .setting(),
        entry("average", "0..0.99999", 0.0, "decay of the averaged weights that are kept; 0: the last ones are")?
            .setting(),
        entry("decay", "0..0.5", 0.1, "share of the steps, the last ones, in which wsd and power fall")?.setting(),
        entry(
            "decay_shape",
            "exp_zero|exp|linear|sqrt|cosine",
            "exp_zero",
            "how they fall, and a training from another",
        )?
        .setting(),
        entry("accumulation", "int:1..512", 1_i64, "parts of a batch, to save memory")?.setting(),
        entry("patience", "int:0..1000", 0_i64, "ends after so many evaluations that bring nothing; 0: never")?
            .setting(),
        entry("checkpoint_every", "int:0..1000000", 500_i64, "steps between checkpoints; 0: none")?.setting(),
        entry("keep_training", "true|false", false, "leaves, beside the model, what another training can start from")?
            .setting(),
        entry("split_seed", "int:0..1000000", 0_i64, "which examples are held out, and the training's chance")?
            .setting(),
        entry("score_on", "validation|test", "validation", "examples drawn from the rest, or those held out")?
            .setting(),
        entry("device", "cpu|cuda", "cpu", "where it is computed")?.setting(),
        entry("precision", "f32|bf16", "f32", "what passes compute with, on a GPU; weights are f32 in any case")?
            .setting(),
        Entry::new("data", Domain::Fixed(data.into()))?.about("the examples (--data)").setting(),
    ])
}

/// The space of a network on pictures of this shape (colours, height, width).
pub fn pictures(kind: Kind, shape: [usize; 3], data: &str) -> Result<Outline, SpaceError> {
    // Every convolution with its pooling halves the sides.
    let halvings = shape[1].min(shape[2]).max(1).ilog2().clamp(1, 4);
    let mut entries = match kind {
        Kind::Cnn => vec![
            entry("convolutions", &format!("int:1..{halvings}"), i64::from(halvings.min(2)), "each halves the sides")?,
            entry("channels", "int:log:4..128", 16_i64, "of the first convolution; each doubles them")?,
            entry("kernel", "3|5", 3_i64, "side of the kernels")?,
            entry("hidden", "int:log:16..512", 64_i64, "width of the layer behind the convolutions")?,
        ],
        Kind::ResNet => vec![
            entry("width", "int:log:4..64", 8_i64, "channels of the first stage; each stage doubles them")?,
            entry(
                "stages",
                &format!("int:1..{}", halvings.min(3)),
                i64::from(halvings.min(2)),
                "each halves the sides",
            )?,
            entry("blocks", "int:1..4", 1_i64, "blocks of two convolutions per stage")?,
        ],
        Kind::Vit => {
            let side = |patch: i64| shape[1..].iter().all(|side| *side as i64 % patch == 0);
            let all: Vec<i64> = (1..=16).filter(|&patch| side(patch)).collect();
            let usual = all.iter().copied().filter(|&patch| patch * 4 <= shape[1].max(4) as i64).max().unwrap_or(1);
            let names: Vec<String> = all.iter().map(i64::to_string).collect();
            let domain = if let [only] = &names[..] { format!("fixed:{only}") } else { names.join("|") };
            vec![
                entry("patch", &domain, usual, "side of the patches that are its tokens")?,
                entry("layers", "int:1..8", 2_i64, "blocks, each of attention and a perceptron")?,
                entry("width", "16|32|64|128|256", 64_i64, "numbers per token")?,
                entry("heads", "1|2|4|8", 4_i64, "of attention")?,
            ]
        }
        _ => vec![
            entry("layers", "int:1..4", 2_i64, "hidden layers")?,
            entry("width", "int:log:16..1024", 128_i64, "width of the hidden layers")?,
            entry("activation", "relu|gelu|tanh", "relu", "between layers")?,
        ],
    };
    let rate = if kind == Kind::ResNet { 3e-3 } else { 1e-3 };
    entries.extend(training(rate, 1e-2, 0.0, "constant|linear|cosine|wsd")?);
    entries.push(entry("epochs", "int:1..1000", 10_i64, "how often every example is seen")?.setting());
    entries.extend(settings(data)?);
    Outline::new(entries)
}

/// The space of a network on texts of classes.
pub fn texts(data: &str, target: &str) -> Result<Outline, SpaceError> {
    let small = |entry: Entry| entry.when("encoder == 'small'");
    let mut entries = vec![
        entry(
            "encoder",
            "small|all-minilm-l6-v2",
            SMALL,
            "what reads: a fresh one, or one that was trained on much text",
        )?
        .setting(),
        small(entry("layers", "int:1..6", 2_i64, "blocks, each of attention and a perceptron")?)?,
        small(entry("width", "16|32|64|128|256", 64_i64, "numbers per token")?)?,
        small(entry("heads", "1|2|4|8", 4_i64, "of attention")?)?,
        small(entry("vocabulary", "int:log:500..30000", 4000_i64, "tokens: characters and the most frequent words")?)?,
        entry("length", "int:log:8..512", 64_i64, "tokens of a text that are read, at most")?,
        entry("encoder_rate", "log:1e-3..1", 0.05, "factor of the rate of what was trained before")?
            .when("encoder != 'small'")?,
    ];
    entries.extend(training(1e-3, 1e-2, 0.3, "constant|linear|cosine|wsd")?);
    entries.push(entry("epochs", "int:1..1000", 2_i64, "how often every example is seen")?.setting());
    entries.extend(settings(data)?);
    let about = "the column of the classes (--target)";
    entries.push(Entry::new("target", Domain::Fixed(target.into()))?.about(about).setting());
    Outline::new(entries)
}

/// The space of a network on text.
pub fn language(kind: Kind, data: &str) -> Result<Outline, SpaceError> {
    let mut entries = vec![
        entry("layers", "int:1..8", 2_i64, "blocks, each of what mixes characters and a perceptron")?,
        entry("width", "16|32|64|128|256", 64_i64, "numbers per character")?,
        entry("context", "int:log:16..256", 64_i64, "characters seen at a time")?,
    ];
    if kind == Kind::CharGpt {
        entries.insert(2, entry("heads", "1|2|4|8", 4_i64, "of attention")?);
    }
    entries.extend(training(3e-3, 0.1, 0.0, "constant|linear|cosine|wsd|power")?);
    // Power Scheduler (2024): the rate is a · batch · tokens^b, and at most eta_max.
    entries.extend([
        entry("a", "3..5", 4.0, "amplitude of the power schedule")?.when("schedule == 'power'")?,
        entry("b", "-0.6..-0.4", -0.51, "its exponent of the tokens seen")?.when("schedule == 'power'")?,
        entry("eta_max", "log:1e-3..1e-1", 0.02, "its largest rate")?.when("schedule == 'power'")?,
        entry("batch_unit_tokens", "int:1..1000000", 4096_i64, "characters that its amplitude calls a batch of one")?
            .when("schedule == 'power'")?
            .setting(),
    ]);
    if kind != Kind::CharGpt {
        let about = "the state of a stretch is where the next one begins, in training and in judgement";
        entries.push(entry("carry", "true|false", true, about)?.setting());
    }
    let about = "characters that a window of the judgement scores, its last ones: a divisor of the context; 0: all";
    entries.push(entry("last_n", "int:0..256", 0_i64, about)?.setting());
    entries.push(entry("steps", "int:1..10000000", 300_i64, "steps of the training")?.setting());
    let about = "hours of training instead of steps, as this machine's speed buys them; 0: steps";
    entries.push(entry("class_hours", "0..1e6", 0.0, about)?.setting());
    let about = "with class_hours, the speed that counts; 0: measured before the training";
    entries.push(entry("tokens_per_second", "0..1e12", 0.0, about)?.setting());
    entries.extend(settings(data)?);
    Outline::new(entries)
}
