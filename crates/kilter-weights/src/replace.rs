//! A checkpoint some of whose tensors hold other numbers. Cost: one pass over the file.

use std::collections::BTreeMap;
use std::path::Path;

use crate::fault::WeightsError;
use crate::storage::{Checkpoint, Declared, Tensor, Writer, Written, alignment_order};
use crate::stream::{self, Options, Planned};

/// Writes `model` with the numbers of some tensors, by name, exchanged; names, shapes, types and metadata stay.
///
/// # Errors
/// [`WeightsError`] if it has no such tensor, or one of another size; nothing is written then.
pub fn replace(
    model: &Checkpoint,
    numbers: &BTreeMap<String, Vec<f64>>,
    target: &Path,
    options: &Options<'_>,
) -> Result<Written, WeightsError> {
    for (name, numbers) in numbers {
        let fits = model.get(name).is_some_and(|tensor| tensor.entries() == numbers.len() as u64);
        if !fits {
            let path = model.path().display();
            return Err(WeightsError::Setting(format!("{path} has no tensor `{name}` of {} numbers", numbers.len())));
        }
    }
    let order = alignment_order(model.tensors().iter().map(|tensor| tensor.dtype().bits()));
    let tensors: Vec<&Tensor> = order.iter().map(|&i| &model.tensors()[i]).collect();
    let declared = tensors.iter().map(|tensor| Declared {
        name: tensor.name().to_owned(),
        dtype: tensor.dtype(),
        shape: tensor.shape().to_vec(),
    });
    let writer = Writer::create(target, declared.collect(), model.metadata(), &[model], options.shard_bytes)?;
    let plans = tensors.iter().map(|tensor| {
        Ok(match numbers.get(tensor.name()) {
            None => Planned::copy(tensor),
            Some(numbers) => {
                let mut bytes = Vec::new();
                tensor.dtype().encode(numbers, &mut bytes);
                Planned::ready(bytes)
            }
        })
    });
    stream::write(writer, plans, model.bytes(), options)
}
