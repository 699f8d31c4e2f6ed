//! One model fitted on some rows and asked about others. All that is learnt of the columns is learnt from the former.

use kilter_data::split::Split;
use kilter_data::{Dataset, Target};
use kilter_numerics::Stream;
use kilter_space::Config;
use kilter_study::Failure;
use kilter_tabular::knn::Distance;
use kilter_tabular::logistic::{ClassWeight, Penalty};
use kilter_tabular::table::Target as Goal;
use kilter_tabular::tree::{Criterion, MaxFeatures};
use kilter_tabular::{
    Boosting, BoostingConfig, Examples, Forest, ForestConfig, Knn, KnnConfig, Logistic, LogisticConfig, MedianImputer,
    Model, OneHot, OneVsRest, Ridge, Standardiser, Table, TableError, Tree, TreeConfig,
};

use super::{Family, network};

/// Fits `config`'s model on the training rows of `split`; the predictions for its test rows, `[rows, outputs]`.
pub fn fit_and_predict(data: &Dataset, split: &Split, config: &Config, stream: &Stream) -> Result<Vec<f64>, Failure> {
    let family = config.text("family")?;
    let family = Family::named(family).ok_or_else(|| Failure::refused(format!("there is no family `{family}`")))?;
    let truth = data.target.of(&split.train);
    let goal = match &truth {
        Target::Classes { labels, names } => Goal::Classes { labels, count: names.len() },
        Target::Numbers(numbers) => Goal::Numbers(numbers),
    };
    let sides = prepare(data, split, family)?;
    let train = Table::new(&sides.train, sides.columns).map_err(Failure::refused)?;
    let test = Table::new(&sides.test, sides.columns).map_err(Failure::refused)?;
    let examples = match family {
        Family::Boosting => Examples::with_missing(train, goal),
        _ => Examples::of(train, goal),
    };
    let examples = examples.map_err(Failure::refused)?;
    Ok(fit(examples, family, data.picture, config, stream)?.predict_table(test))
}

/// The values that a model sees.
struct Sides {
    train: Vec<f64>,
    test: Vec<f64>,
    columns: usize,
}

impl Sides {
    /// Replaces both sides' values by what `apply` makes of them.
    fn map(&mut self, apply: impl Fn(Table<'_>) -> Result<Vec<f64>, TableError>) -> Result<(), Failure> {
        for values in [&mut self.train, &mut self.test] {
            *values = Table::new(values, self.columns).and_then(&apply).map_err(Failure::refused)?;
        }
        Ok(())
    }

    /// What is learnt from the training side.
    fn learn<T>(&self, learn: impl Fn(Table<'_>) -> Result<T, TableError>) -> Result<T, Failure> {
        Table::new(&self.train, self.columns).and_then(learn).map_err(Failure::refused)
    }
}

fn prepare(data: &Dataset, split: &Split, family: Family) -> Result<Sides, Failure> {
    let (train, test) = (data.values_of(&split.train), data.values_of(&split.test));
    let mut sides = Sides { train, test, columns: data.columns() };
    let is_category: Vec<bool> = data.features.iter().map(|feature| feature.categories.is_some()).collect();
    if is_category.contains(&true) {
        let one_hot = sides.learn(|train| OneHot::fit(train, &is_category))?;
        sides.map(|table| one_hot.apply(table))?;
        sides.columns = one_hot.columns();
    }
    if family == Family::Boosting {
        return Ok(sides);
    }
    if sides.train.iter().chain(&sides.test).any(|value| value.is_nan()) {
        // A column without any value in these rows has no median; it is zero and tells nothing.
        for column in 0..sides.columns {
            let columns = sides.columns;
            if sides.train.iter().skip(column).step_by(columns).all(|value| value.is_nan()) {
                for values in [&mut sides.train, &mut sides.test] {
                    values.iter_mut().skip(column).step_by(columns).for_each(|value| *value = 0.0);
                }
            }
        }
        let imputer = sides.learn(MedianImputer::fit)?;
        sides.map(|table| imputer.apply(table))?;
    }
    if matches!(family, Family::LogisticRegression | Family::Ridge | Family::Knn | Family::Mlp) {
        let scale = sides.learn(Standardiser::fit)?;
        sides.map(|table| scale.apply(table))?;
    }
    Ok(sides)
}

fn fit(
    examples: Examples<'_>,
    family: Family,
    picture: Option<[usize; 3]>,
    config: &Config,
    stream: &Stream,
) -> Result<Box<dyn Model>, Failure> {
    let size = |name: &str| -> Result<usize, Failure> {
        usize::try_from(config.int(name)?).map_err(|_| Failure::refused(format!("`{name}` must not be negative")))
    };
    Ok(match family {
        Family::LogisticRegression => {
            let settings = LogisticConfig {
                c: config.float("logistic.c")?,
                penalty: if config.text("logistic.penalty")? == "l1" { Penalty::L1 } else { Penalty::L2 },
                class_weight: match config.text("logistic.class_weight")? {
                    "balanced" => ClassWeight::Balanced,
                    _ => ClassWeight::None,
                },
                ..LogisticConfig::default()
            };
            if examples.target().outputs() == 1 {
                Box::new(Logistic::fit(examples, &settings).map_err(Failure::refused)?)
            } else {
                Box::new(OneVsRest::fit(examples, &settings).map_err(Failure::refused)?)
            }
        }
        Family::Ridge => Box::new(Ridge::fit(examples, config.float("ridge.alpha")?).map_err(Failure::refused)?),
        Family::DecisionTree => {
            let settings = TreeConfig {
                criterion: match config.text("tree.criterion") {
                    Ok("entropy") => Criterion::Entropy,
                    _ => Criterion::Gini,
                },
                max_depth: Some(size("tree.max_depth")?),
                min_samples_split: size("tree.min_samples_split")?,
                min_samples_leaf: size("tree.min_samples_leaf")?,
                ccp_alpha: config.float("tree.ccp_alpha")? * whole_impurity(examples),
                max_features: MaxFeatures::All,
            };
            Box::new(Tree::fit(examples, &settings, &mut stream.child("tree")).map_err(Failure::refused)?)
        }
        Family::RandomForest => {
            let tree = TreeConfig {
                max_depth: Some(size("forest.max_depth")?),
                min_samples_leaf: size("forest.min_samples_leaf")?,
                max_features: MaxFeatures::Fraction(config.float("forest.max_features")?),
                ..TreeConfig::default()
            };
            let settings =
                ForestConfig { trees: size("forest.trees")?, bootstrap: config.flag("forest.bootstrap")?, tree };
            Box::new(Forest::fit(examples, &settings, stream).map_err(Failure::refused)?)
        }
        Family::Boosting => {
            let settings = BoostingConfig {
                rounds: size("boosting.rounds")?,
                learning_rate: config.float("boosting.learning_rate")?,
                max_leaves: size("boosting.max_leaves")?,
                max_depth: None,
                min_samples_leaf: size("boosting.min_samples_leaf")?,
                l2: config.float("boosting.l2")?,
                max_features: config.float("boosting.max_features")?,
            };
            Box::new(Boosting::fit(examples, &settings, stream).map_err(Failure::refused)?)
        }
        Family::Knn => {
            let settings = KnnConfig {
                neighbours: size("knn.neighbours")?,
                by_distance: config.text("knn.weights")? == "distance",
                distance: match config.text("knn.distance")? {
                    "manhattan" => Distance::Manhattan,
                    _ => Distance::Euclidean,
                },
            };
            Box::new(Knn::fit(examples, &settings).map_err(Failure::refused)?)
        }
        Family::Mlp => network::perceptron(examples, config, stream)?,
        Family::Cnn => {
            let picture = picture.ok_or_else(|| Failure::refused("`cnn` learns from pictures, and this is a table"))?;
            network::convolutional(examples, picture, config, stream)?
        }
    })
}

/// What a price of a leaf is a share of: 1 for classes, whose impurity has no unit; the variance of numbers.
fn whole_impurity(examples: Examples<'_>) -> f64 {
    let Goal::Numbers(numbers) = examples.target() else { return 1.0 };
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    numbers.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / numbers.len() as f64
}
