//! Samplers and pruners as they are written, and what is said of a slip.

use kilter_search::{PRUNERS, SAMPLERS, check_sampler, pruner, sampler};
use kilter_space::{Entry, Outline, parse_domain};

#[track_caller]
fn refused(text: &str, why: &str) {
    let said = sampler(text).err().or_else(|| pruner(text).err()).unwrap_or_else(|| panic!("{text} was taken"));
    assert_eq!(said.to_string(), why);
}

#[test]
fn every_option_listed_is_taken_as_it_is_listed() {
    for listed in SAMPLERS {
        sampler(listed.name).unwrap();
        for option in listed.options.split_whitespace() {
            let (name, usual) = option.split_once('=').unwrap();
            for value in usual.split('|').map(|value| value.replace("METRIC<=BOUND", "latency<=20")) {
                sampler(&format!("{}:{name}={value}", listed.name)).unwrap();
            }
        }
    }
    for listed in PRUNERS {
        pruner(listed.name).unwrap();
        for option in listed.options.split_whitespace() {
            pruner(&format!("{}:{option}", listed.name)).unwrap();
        }
    }
}

#[test]
fn a_slip_is_answered_with_what_would_be_right() {
    refused("tpee", "there is no sampler `tpee`; did you mean `tpe`?");
    refused("tpe:startp=3", "sampler `tpe`: it has no option `startp`; did you mean `startup`?");
    refused("latin:momentum=3", "sampler `latin`: it has no option `momentum`; it has points");
    refused("tpe:startup", "sampler `tpe`: option `startup` needs a value: startup=10");
    refused(
        "tpe:candidates=9,startup=soon",
        "sampler `tpe`: startup=soon cannot be: it is a whole number (10 unless said otherwise)",
    );
    refused("tpe:flavour=hyperop", "sampler `tpe`: flavour=hyperop cannot be: did you mean `hyperopt`?");
    refused("tpe:flavour=x", "sampler `tpe`: flavour=x cannot be: it is kilter, optuna or hyperopt");
    refused(
        "tpe:multivariate=7",
        "sampler `tpe`: multivariate=7 cannot be: it is true or false (true unless said otherwise)",
    );
    refused(
        "tpe:prior_weight=heavy",
        "sampler `tpe`: prior_weight=heavy cannot be: it is a number (1.0 unless said otherwise)",
    );
    refused("random:startup=3", "sampler `random`: it has no options, so none named `startup`");
    refused("partial:by=tep", "there is no sampler `tep`; did you mean `tpe`?");
    let said = pruner("median:startup=3").err().unwrap().to_string();
    assert_eq!(said, "pruner `median`: it has no option `startup`; did you mean `n_startup_trials`?");
}

#[test]
fn a_part_of_the_space_is_checked_before_it_is_searched() {
    let entry = |name: &str, domain: &str| Entry::new(name, parse_domain(domain).unwrap()).unwrap();
    let outline = Outline::new(vec![entry("rate", "0..1"), entry("kind", "adam|sgd")]).unwrap();
    let check = |text: &str| check_sampler(text, &outline).map_err(|why| why.to_string());
    assert_eq!(check("tpe"), Ok(()));
    assert_eq!(check("partial:by=tpe,rate=0.5,kind=sgd"), Ok(()));
    let why = check("partial:by=random,rat=0.5").unwrap_err();
    assert_eq!(why, "sampler `partial`: there is no hyperparameter `rat`; did you mean `rate`?");
    let why = check("partial:kind=sdg").unwrap_err();
    assert!(why.ends_with("`kind`: sdg is not allowed; allowed is adam|sgd; did you mean `sgd`?"), "{why}");
}
