//! Linear layers that are fed whole numbers: each row of what reaches one in so many bits, with a scale of its own.
//!
//! Where the model's file holds a layer's codes with one scale per output, its products are sums of whole numbers
//! ([`IntegerLinear`]). Elsewhere (blocks, outliers kept apart, codes turned back to floats) the same coarse inputs meet the
//! weights' floats, which differs by the rounding of a table only. Convolutions are fed floats.

use std::collections::BTreeMap;
use std::path::Path;

use kilter_nn::context::Context;
use kilter_nn::params::{Params, numbers};
use kilter_nn::{Tensor, TensorData};
use kilter_study::Failure;
use kilter_weights::Checkpoint;
use kilter_weights::quantize::{IntegerLinear, activation_bits, whole_numbers};

/// How linear layers are fed.
#[derive(Clone, Debug)]
pub(crate) struct Activations {
    bits: u32,
    /// Layers of whole numbers with their biases, by place.
    layers: BTreeMap<String, (IntegerLinear, Vec<f64>)>,
}

impl Activations {
    /// Coarse inputs, products of floats.
    pub fn simulated(bits: u32) -> Self {
        Self { bits, layers: BTreeMap::new() }
    }

    /// Coarse inputs, and whole numbers for the layers of this file that allow it; biases are those of `params`.
    pub fn integers(model: &Checkpoint, params: &Params, bits: u32) -> Self {
        let layer = |name: &str| {
            let place = name.strip_suffix(".weight")?;
            let bias = params.place(&format!("{place}.bias")).map(|at| numbers(&params.values()[at]));
            Some((place.to_owned(), (IntegerLinear::open(model, name).ok()?, bias.unwrap_or_default())))
        };
        Self { bits, layers: params.specs().iter().filter_map(|spec| layer(&spec.name)).collect() }
    }

    /// As the file of a model says, if it says anything.
    pub fn of(path: &Path, params: &Params) -> Result<Option<Self>, Failure> {
        let model = Checkpoint::open(path).map_err(Failure::refused)?;
        let bits = activation_bits(&model).map_err(Failure::refused)?;
        Ok(bits.map(|bits| Self::integers(&model, params, bits)))
    }

    /// An evaluation pass that feeds them so.
    pub fn pass(&self) -> Context<'_> {
        let mut fed: Vec<(Vec<i16>, f64)> = Vec::new();
        Context::evaluation().with_hook(move |place, x| {
            let (place, end) = place.rsplit_once(':').unwrap_or((place, ""));
            let layer = self.layers.get(place);
            let [rows, width] = x.dims();
            let made = match (end, layer) {
                ("in", _) => {
                    let mut all = numbers(&x);
                    fed = all.chunks(width.max(1)).map(|row| whole_numbers(row, self.bits)).collect();
                    for (row, (codes, scale)) in all.chunks_mut(width.max(1)).zip(&fed) {
                        row.iter_mut().zip(codes).for_each(|(x, &code)| *x = f64::from(code) * scale);
                    }
                    all
                }
                ("out", Some((layer, bias))) => {
                    let biased = |mut out: Vec<f64>| {
                        out.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                        out
                    };
                    fed.iter().flat_map(|(codes, scale)| biased(layer.forward(codes, *scale))).collect()
                }
                _ => return x,
            };
            Tensor::from_data(TensorData::new(made, [rows, width]).convert_dtype(x.dtype()), (&x.device(), x.dtype()))
        })
    }
}
