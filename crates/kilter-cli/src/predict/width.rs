//! `kilter predict transfer` and `parametrization`: what a width does to hyperparameters.

use clap::{Args, ValueEnum};
use kilter_laws::mup::{AbcParam, BaseValues, Optimizer, parse_exponent, transformer_transfer};
use kilter_space::nearest;
use serde_json::json;

use super::figures;
use crate::fault::Fault;
use crate::figure::Figured;
use crate::pairs::setting;
use crate::style::{Voice, short};
use crate::table::table;

#[derive(Debug, Args)]
#[command(
    after_help = "What was tuned at the base width: --set learning_rate=, init_std=, weight_decay=, output_multiplier=.\n\n\
                  Example:\n  kilter predict transfer --from-width 256 --to-width 8192 --heads 8 \\\n      --optimizer adam \
                  --set learning_rate=3e-3"
)]
pub struct Transfer {
    /// The width that was tuned
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    from_width: u64,
    /// The width that is wanted
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    to_width: u64,
    /// Attention heads, the same at both widths
    #[arg(long, value_name = "N", default_value_t = 8, allow_negative_numbers = true)]
    heads: u64,
    /// Whose learning rates they are
    #[arg(long, value_name = "NAME", default_value = "adam")]
    optimizer: Family,
    /// A value at the base width (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    figured: Figured,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Family {
    /// Adam, AdamW and others whose steps do not grow with the gradient
    #[value(alias = "adamw")]
    Adam,
    /// SGD, with or without momentum
    Sgd,
}

/// The rules of every kind of tensor.
pub fn transfer(args: &Transfer, voice: &Voice) -> Result<(), Fault> {
    let mut base = BaseValues::default();
    for text in &args.set {
        let (name, value) = setting(text)?;
        let number = value.as_f64().filter(|number| number.is_finite() && *number >= 0.0);
        let number = number.ok_or_else(|| Fault::call(format!("--set {text}: it is a number, at least 0")))?;
        match name.as_str() {
            "learning_rate" => base.learning_rate = number,
            "init_std" => base.init_std = number,
            "weight_decay" => base.weight_decay = number,
            "output_multiplier" => base.output_multiplier = number,
            other => {
                let known = ["learning_rate", "init_std", "weight_decay", "output_multiplier"];
                let near = nearest(other, known).map_or(known.join(", "), |near| format!("did you mean `{near}`?"));
                return Err(Fault::call(format!("--set {text}: there is no `{other}`; {near}")));
            }
        }
    }
    let optimizer = match args.optimizer {
        Family::Adam => Optimizer::Adam,
        Family::Sgd => Optimizer::Sgd,
    };
    let transfer = transformer_transfer(args.from_width, args.to_width, args.heads, optimizer, &base);
    let transfer = transfer.map_err(Fault::call)?;
    args.figured.draw("Transfer over widths", voice, || {
        figures::transfer(args.from_width, args.to_width, args.heads, optimizer, &base).map_err(Fault::call)
    })?;
    if voice.json {
        return voice.document(&json!({ "base": base, "transfer": transfer }));
    }
    let rows = transfer.tensors.iter().map(|tensor| {
        vec![
            tensor.name.clone(),
            serde_json::to_value(tensor.role).map_or(String::new(), |role| role.as_str().unwrap_or("").to_owned()),
            super::small(tensor.learning_rate),
            super::small(tensor.init_std),
            short(tensor.multiplier),
            super::small(tensor.weight_decay),
        ]
    });
    let header = ["tensor", "role", "learning rate", "init std", "multiplier", "weight decay"].map(str::to_owned);
    voice.say(&table(&header, rows.collect()))?;
    voice.say(&format!(
        "attention logits are multiplied by {} (heads of {} instead of {})",
        super::small(transfer.attention.logits),
        short(transfer.attention.d_head),
        short(transfer.attention.base_d_head)
    ))?;
    voice.remark(
        "learning rate, schedule, momentum, deviations and multipliers transfer over the width; dropout, weight decay, \
         tokens and batch do not",
    );
    Ok(())
}

#[derive(Debug, Args)]
#[command(
    after_help = "Layer l has weights width^-a_l times entries of deviation width^-b_l, and the learning rate width^-c; from \
                  the first layer to the output.\n\nExamples:\n  kilter predict parametrization --a=-1/2,0,1/2 --b=1/2,1/2,1/2 \
                  --c=0\n  kilter predict parametrization --named mup --hidden 2"
)]
pub struct Parametrization {
    /// Exponents a of the layers, apart by commas
    #[arg(long, value_name = "A,…", allow_hyphen_values = true, requires = "b")]
    a: Option<String>,
    /// Exponents b of the layers, apart by commas
    #[arg(long, value_name = "B,…", allow_hyphen_values = true, requires = "a")]
    b: Option<String>,
    /// Exponent c of the learning rate
    #[arg(long, value_name = "C", allow_hyphen_values = true, default_value = "0")]
    c: String,
    /// A usual one instead
    #[arg(long, value_name = "NAME", conflicts_with_all = ["a", "b"])]
    named: Option<Usual>,
    /// Hidden layers of a usual one
    #[arg(long, value_name = "N", default_value_t = 2, allow_negative_numbers = true)]
    hidden: usize,
    #[command(flatten)]
    figured: Figured,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Usual {
    /// Maximal update
    Mup,
    /// Neural tangent
    Ntk,
    /// As frameworks draw weights by default (--c says the learning rate)
    Standard,
}

/// The class of a parametrisation.
pub fn parametrization(args: &Parametrization, voice: &Voice) -> Result<(), Fault> {
    let exponent = |text: &str| parse_exponent(text.trim()).map_err(Fault::call);
    let list = |text: &Option<String>| -> Result<Vec<_>, Fault> {
        text.as_deref().unwrap_or_default().split(',').map(exponent).collect()
    };
    if args.named.is_some() && args.hidden == 0 {
        return Err(Fault::call("--hidden 0: there is at least one hidden layer"));
    }
    let param = match args.named {
        Some(Usual::Mup) => AbcParam::mup(args.hidden),
        Some(Usual::Ntk) => AbcParam::ntk(args.hidden),
        Some(Usual::Standard) => AbcParam::standard(args.hidden, exponent(&args.c)?),
        None if args.a.is_none() => {
            return Err(Fault::call(
                "which? Its exponents, as in --a=-1/2,0,1/2 --b=1/2,1/2,1/2, or a usual one: --named mup, ntk or standard",
            ));
        }
        None => AbcParam::new(list(&args.a)?, list(&args.b)?, exponent(&args.c)?).map_err(Fault::call)?,
    };
    let class = param.classify();
    args.figured.draw("A parametrisation", voice, || Ok(vec![figures::parametrization(&param)]))?;
    if voice.json {
        return voice.document(&json!({ "classification": class }));
    }
    voice.say(&format!("class             {}", voice.strong(&class.kind.to_string())))?;
    voice.say(&format!("r                 {} (features change like width^-r)", class.r))?;
    let before = serde_json::to_value(class.initial_function).unwrap_or_default();
    voice.say(&format!("before training   {}", before.as_str().unwrap_or("")))?;
    if !class.violated.is_empty() {
        let violated: Vec<String> = class.violated.iter().map(ToString::to_string).collect();
        voice.say(&format!("why               {}", violated.join("; ")))?;
    }
    Ok(())
}
