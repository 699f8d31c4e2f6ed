//! Breast-cancer diagnosis from pictures: the claims of a small convolutional network, tuned, beside logistic regression on
//! the pixels. A software demonstration, not a medical device.
//!
//! Method: *Breast Cancer Diagnosis Using Machine Learning Techniques* (2023), whose thermograms may not be passed on; made-up
//! ones stand in for them (`thermal-synth`), and chest X-rays are real pictures of patients (`pneumoniamnist`, which is not
//! in the binary; without it what is said of it is not shown). Both sides have the same outer split, folds and trials, and
//! tune the AUC, which is what is claimed; thermograms by 4 folds: networks that half of them teach learn too little to be
//! told apart.
//! A training costs some seconds, so there are few seeds, from 10 on (the defaults were chosen by a look at seed 0), and width
//! and kernel of the network, on which the time hangs, stay at their defaults.

use kilter_study::Better;

use crate::claim::{Arm, Claim, Costly, Judge, Reproduction, Scaled};

const CNN: &[(&str, &str)] = &[("folds", "4"), ("cnn.width", "16"), ("cnn.kernel", "3")];
const PIXELS: &[(&str, &str)] = &[("folds", "4"), ("logistic.penalty", "l2")];

const fn arm(
    name: &'static str,
    recipe: &'static str,
    set: &'static [(&'static str, &'static str)],
    tuned: bool,
) -> Arm {
    Arm {
        name,
        recipe,
        data: Some("thermal-synth"),
        set,
        tuned: if tuned { Some("tpe") } else { None },
        goal: Some("auc"),
        only_full: tuned,
        costly: Some(Costly { first: 10, seeds: if tuned { 5 } else { 2 }, trials: 15 }),
    }
}

/// X-rays are ten times as many, so they are looked at less often and by narrow networks.
const fn of_xrays(name: &'static str, recipe: &'static str, set: &'static [(&'static str, &'static str)]) -> Arm {
    let costly = Some(Costly { first: 10, seeds: 2, trials: 5 });
    Arm { data: Some("pneumoniamnist"), costly, ..arm(name, recipe, set, true) }
}

const fn ahead(
    sentence: &'static str,
    ours: &'static [&'static str],
    baseline: &'static [&'static str],
    margin: f64,
    gate: bool,
) -> Claim {
    let judge = Judge::Beats { margin, confidence: 0.95 };
    Claim { sentence, metric: "auc", better: Better::Higher, ours, baseline, judge, gate }
}

/// The claims. Margins were set before measuring.
pub static REPRODUCTION: Reproduction = Reproduction {
    name: "breast-cancer-images",
    title: "Diagnosis from pictures by a small tuned network (a software demonstration, not a medical device)",
    arms: &[
        arm("cnn-default", "small-cnn", CNN, false),
        arm("pixels-default", "logistic-regression", PIXELS, false),
        arm("cnn-tuned", "small-cnn", CNN, true),
        arm("pixels-tuned", "logistic-regression", PIXELS, true),
        of_xrays("xrays-cnn-tuned", "small-cnn", &[("folds", "2"), ("cnn.epochs", "4"), ("cnn.width", "8")]),
        of_xrays("xrays-pixels-tuned", "logistic-regression", &[("folds", "2"), ("logistic.penalty", "l2")]),
    ],
    seed_setting: "split_seed",
    seeds: Scaled { quick: 2, full: 3 },
    trials: Scaled { quick: 15, full: 15 },
    claims: &[
        ahead(
            "On made-up thermograms a tuned network's AUC is at least 0.1 above that of tuned logistic regression on pixels",
            &["cnn-tuned"],
            &["pixels-tuned"],
            0.1,
            true,
        ),
        ahead(
            "On made-up thermograms the network is ahead with its defaults, too",
            &["cnn-default"],
            &["pixels-default"],
            0.0,
            false,
        ),
        ahead(
            "On chest X-rays a tuned network's AUC is at least 0.1 above that of tuned logistic regression on pixels",
            &["xrays-cnn-tuned"],
            &["xrays-pixels-tuned"],
            0.1,
            false,
        ),
    ],
};
