//! The hyperparameters of every family of models, and the settings of a run.

use kilter_data::csv::Task;
use kilter_space::{Choice, Domain, Entry, Outline, SpaceError, Value, parse_domain, parse_value};

use super::{Kind, Seen, Subject};

/// A family of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Of classes.
    LogisticRegression,
    /// Of numbers.
    Ridge,
    /// Of either.
    DecisionTree,
    /// Of either.
    RandomForest,
    /// Of either.
    Boosting,
    /// Of either.
    Knn,
    /// Of either.
    Mlp,
    /// Of either, on pictures only.
    Cnn,
}

impl Family {
    const ALL: [Self; 8] = [
        Self::LogisticRegression,
        Self::Ridge,
        Self::DecisionTree,
        Self::RandomForest,
        Self::Boosting,
        Self::Knn,
        Self::Mlp,
        Self::Cnn,
    ];

    /// Its name among a configuration's answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::LogisticRegression => "logistic_regression",
            Self::Ridge => "ridge",
            Self::DecisionTree => "decision_tree",
            Self::RandomForest => "random_forest",
            Self::Boosting => "boosting",
            Self::Knn => "knn",
            Self::Mlp => "mlp",
            Self::Cnn => "cnn",
        }
    }

    /// The family of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    pub(crate) fn suits(self, seen: Seen) -> bool {
        match self {
            Self::LogisticRegression => seen.kind != Kind::Numbers,
            Self::Ridge => seen.kind == Kind::Numbers,
            Self::Cnn => seen.picture.is_some_and(|picture| cnn_side(picture) >= 4),
            _ => true,
        }
    }
}

/// What `cnn.blocks` counts.
const HALVES: &str = "convolutions or blocks; each halves the sides";

/// The side that pictures are averaged down to, unless another is asked for.
const CNN_SIDE: usize = 32;

/// The shorter side of a picture once it was averaged down.
fn cnn_side([_, height, width]: [usize; 3]) -> usize {
    height.min(width) / height.max(width).div_ceil(CNN_SIDE).max(1)
}

fn entry(name: &str, domain: &str, default: impl Into<Value>, about: &str) -> Result<Entry, SpaceError> {
    let domain = parse_domain(domain).unwrap_or_else(|why| unreachable!("the domain of {name}: {why}"));
    Ok(Entry::new(name, domain)?.default(default)?.about(about))
}

fn fixed(name: &str, value: impl Into<Value>, about: &str) -> Result<Entry, SpaceError> {
    Ok(Entry::new(name, Domain::Fixed(value.into()))?.about(about).setting())
}

/// The space of these families (nothing: all) on this table.
pub fn outline(families: Option<&[Family]>, seen: Seen, subject: &Subject) -> Result<Outline, SpaceError> {
    let families: Vec<Family> = families.unwrap_or(&Family::ALL).iter().copied().filter(|f| f.suits(seen)).collect();
    let names: Vec<Value> = families.iter().map(|family| family.name().into()).collect();
    let default: Value = match &names[..] {
        [only] => only.clone(),
        _ => Family::RandomForest.name().into(),
    };
    let domain = match Choice::new(names) {
        Ok(choice) if families.len() > 1 => Domain::Choice(choice),
        _ => Domain::Fixed(default.clone()),
    };
    let mut entries = vec![match domain {
        Domain::Fixed(_) => Entry::new("family", domain)?.about("kind of model"),
        _ => Entry::new("family", domain)?.default(default)?.about("kind of model"),
    }];
    for family in families {
        let when = format!("family == '{}'", family.name());
        for entry in of_family(family, seen)? {
            entries.push(entry.when(&when)?);
        }
    }
    entries.push(entry("folds", "int:2..20", 5_i64, "folds of the validation")?.setting());
    entries.push(
        entry("split_seed", "int:0..1000000", 0_i64, "which rows are held out, and the models' chance")?.setting(),
    );
    entries
        .push(entry("score_on", "validation|test", "validation", "folds of the 80 %, or the 20 % held out")?.setting());
    if seen.kind == Kind::TwoClasses {
        let about = "0: call positive from 0.5 on; else from the score that finds this share on the folds";
        entries.push(entry("min_sensitivity", "0..1", 0.0, about)?.setting());
    }
    entries.push(fixed("data", subject.data.as_str(), "the table (--data)")?);
    if let Some(target) = &subject.target {
        entries.push(fixed("target", target.as_str(), "the column predicted (--target)")?);
        let task = if subject.task == Task::Regression { "regression" } else { "classification" };
        entries.push(fixed("task", task, "what it is predicted as")?);
    }
    if let Some(positive) = &subject.positive {
        entries.push(fixed("positive", parse_value(positive), "of two classes the one looked for")?);
    }
    Outline::new(entries)
}

fn of_family(family: Family, Seen { kind, columns, picture }: Seen) -> Result<Vec<Entry>, SpaceError> {
    let classes = kind != Kind::Numbers;
    Ok(match family {
        Family::LogisticRegression => vec![
            entry("logistic.c", "log:1e-4..1e4", 1.0, "weight of the loss against the penalty")?,
            entry("logistic.penalty", "l1|l2", "l2", "on the coefficients")?,
            entry("logistic.class_weight", "none|balanced", "none", "how classes count")?,
        ],
        Family::Ridge => vec![entry("ridge.alpha", "log:1e-4..1e4", 1.0, "charge on the squares of the weights")?],
        Family::DecisionTree => {
            let mut entries = vec![
                entry("tree.max_depth", "int:1..20", 20_i64, "splits at most")?,
                entry("tree.min_samples_split", "int:2..20", 2_i64, "rows of a node that may be split")?,
                entry("tree.min_samples_leaf", "int:1..20", 1_i64, "rows of a leaf at least")?,
                entry("tree.ccp_alpha", "log:1e-5..1e-1", 1e-5, "price of a leaf, as a share of the whole impurity")?,
            ];
            if classes {
                entries.insert(0, entry("tree.criterion", "gini|entropy", "gini", "impurity")?);
            }
            entries
        }
        Family::RandomForest => {
            // The usual defaults: the square root of the columns for classes, all of them for numbers.
            let share = if classes { (columns.isqrt() as f64 / columns as f64).clamp(0.1, 1.0) } else { 1.0 };
            // Cut to three digits: 0.166 of 30 columns are 4.98, which is rounded up to the 5 that are meant.
            let share = (share * 1000.0).floor() / 1000.0;
            vec![
                entry("forest.trees", "int:log:20..500", 100_i64, "number of trees")?,
                entry("forest.max_features", "0.1..1", share, "share of the columns tried at a node")?,
                entry("forest.max_depth", "int:2..30", 30_i64, "splits at most")?,
                entry("forest.min_samples_leaf", "int:1..10", 1_i64, "rows of a leaf at least")?,
                entry("forest.bootstrap", "true|false", true, "each tree on rows drawn with replacement")?,
            ]
        }
        Family::Boosting => vec![
            entry("boosting.rounds", "int:log:20..500", 100_i64, "number of trees, one after the other")?,
            entry("boosting.learning_rate", "log:0.01..0.5", 0.1, "share of each tree that is added")?,
            entry("boosting.max_leaves", "int:log:2..64", 31_i64, "leaves of a tree at most")?,
            entry("boosting.min_samples_leaf", "int:log:1..100", 20_i64, "rows of a leaf at least")?,
            entry("boosting.l2", "log:1e-6..100", 1e-6, "charge on the squares of the leaves' values")?,
            entry("boosting.max_features", "0.1..1", 1.0, "share of the columns that a tree may use")?,
        ],
        Family::Knn => vec![
            entry("knn.neighbours", "int:log:1..100", 5_i64, "how many decide")?,
            entry("knn.weights", "uniform|distance", "uniform", "whether nearer ones count more")?,
            entry("knn.distance", "euclidean|manhattan", "euclidean", "what near means")?,
        ],
        Family::Mlp => vec![
            entry("mlp.layers", "int:1..3", 1_i64, "hidden layers")?,
            entry("mlp.units", "int:log:8..256", 100_i64, "width of a hidden layer")?,
            entry("mlp.learning_rate", "log:1e-4..1e-1", 1e-3, "rate of Adam")?,
            entry("mlp.alpha", "log:1e-6..1e-1", 1e-4, "charge on the squares of the weights")?,
            entry("mlp.batch", "int:log:16..128", 128_i64, "rows per step")?,
            entry("mlp.activation", "relu|tanh", "relu", "between layers")?,
            entry("mlp.dropout", "0..0.5", 0.0, "share of hidden numbers that a step leaves out")?,
            entry("mlp.epochs", "int:1..1000", 200_i64, "how often every row is seen at most")?.setting(),
        ],
        Family::Cnn => {
            // Every block halves the sides, and something must be left of them.
            let sides = picture.map_or(4, cnn_side);
            let most = sides.ilog2().saturating_sub(1).clamp(1, 4);
            let least = most.min(2);
            let blocks = format!("int:{least}..{most}");
            let mut entries = match most > least {
                true => {
                    vec![entry("cnn.blocks", &blocks, i64::from(least), HALVES)?]
                }
                false => vec![fixed("cnn.blocks", i64::from(most), HALVES)?],
            };
            let about = "convolutions, residual blocks, or separable convolutions beside shortcuts";
            entries.extend([
                entry("cnn.architecture", "cnn|resnet-s|xception-s", "cnn", about)?.setting(),
                entry("cnn.width", "int:log:8..64", 16_i64, "channels of the convolutions (of -s: of the first)")?,
                entry("cnn.kernel", "3|5", 3_i64, "side of the kernels")?,
                entry("cnn.dropout", "0..0.5", 0.0, "share of the last numbers that a step leaves out")?,
                entry("cnn.learning_rate", "log:1e-4..1e-1", 1e-2, "the first rate of AdamW; it falls to 0")?,
                entry("cnn.weight_decay", "log:1e-6..1e-1", 1e-4, "pull of the weights towards zero")?,
                entry("cnn.flip", "true|false", false, "mirror every second picture")?,
                entry("cnn.shift", "true|false", false, "move pictures by up to a sixteenth of their sides")?,
                entry("cnn.epochs", "int:1..1000", 30_i64, "how often every picture is seen at most")?.setting(),
                entry("cnn.side", "int:4..1024", CNN_SIDE as i64, "larger pictures are averaged down to this side")?
                    .setting(),
                entry("cnn.device", "cpu|cuda", "cpu", "where it is computed")?.setting(),
            ]);
            entries
        }
    })
}
