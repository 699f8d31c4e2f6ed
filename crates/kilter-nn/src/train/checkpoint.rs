//! Trainings and weights as safetensors files, written as one act.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use kilter_weights::storage::{Declared, Writer};
use kilter_weights::{Checkpoint, Dtype, WeightsError};
use serde::{Deserialize, Serialize};

use super::{TrainConfig, TrainError, Training, host};
use crate::optim::State;
use crate::params::{Params, ParamsError};

/// Why a file cannot be written, or holds nothing that fits.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] WeightsError),
    /// A tensor is missing or has other sizes.
    #[error("{}: {why}", .path.display())]
    Fit {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: ParamsError,
    },
    /// It is no training.
    #[error("{} holds weights, but no training to go on with: {why}", .path.display())]
    NoTraining {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
}

/// What a checkpoint tells beside its tensors.
#[derive(Serialize, Deserialize)]
struct Told {
    config: TrainConfig,
    done: u64,
    best: Option<f64>,
    since_best: u64,
    /// The optimizer's vectors of each parameter.
    memory: Vec<Vec<String>>,
    averaged: bool,
    /// The names of the states of recurrent layers, for each part of a batch.
    #[serde(default)]
    carried: Vec<Vec<String>>,
}

const KEY: &str = "kilter.training";
const MEMORY: &str = "optimizer/";
const AVERAGE: &str = "average/";
const CARRIED: &str = "carried/";

fn write(
    path: &Path,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    let declared = tensors.iter().map(|(name, shape, _)| Declared {
        name: name.clone(),
        dtype: Dtype::F32,
        shape: shape.iter().map(|&side| side as u64).collect(),
    });
    let mut writer = Writer::create(path, declared.collect(), metadata, &[], u64::MAX)?;
    for (_, _, numbers) in &tensors {
        // The format is little-endian, as is every machine that this runs on in practice; on others this swaps.
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        writer.write(&bytes)?;
    }
    writer.finish()?;
    Ok(())
}

/// Writes weights; `metadata` names what made them (`kilter.recipe`, `kilter.config`).
///
/// # Errors
/// If the file cannot be written; what was there before is then still there.
pub fn save_weights(params: &Params, path: &Path, metadata: &BTreeMap<String, String>) -> Result<(), CheckpointError> {
    let tensors = params.specs().iter().zip(params.values());
    write(path, tensors.map(|(spec, value)| (spec.name.clone(), spec.shape.clone(), host(value))).collect(), metadata)
}

/// The weights of `like`'s network from a file.
///
/// # Errors
/// If the file cannot be read, lacks a tensor (says the nearest) or has one of other sizes.
pub fn load_weights(like: &Params, path: &Path) -> Result<Params, CheckpointError> {
    let file = Checkpoint::open(path)?;
    load_named(like, &file, |name| Some(name.to_owned()))
}

/// The weights of `like`'s network from a file that calls its tensors otherwise: `theirs` gives their name of ours, or
/// nothing for those that stay as they are.
///
/// # Errors
/// If the file lacks a tensor (says the nearest), has one of other sizes, or cannot be read.
pub fn load_named(
    like: &Params,
    file: &Checkpoint,
    theirs: impl Fn(&str) -> Option<String>,
) -> Result<Params, CheckpointError> {
    let mut params = like.clone();
    for (at, spec) in like.specs().iter().enumerate() {
        if let Some(name) = theirs(&spec.name) {
            params.put(at, read(file, file.path(), &name, &spec.shape)?);
        }
    }
    Ok(params)
}

/// The numbers of a tensor of a file, which may hold them as codes.
fn read(file: &Checkpoint, path: &Path, name: &str, shape: &[usize]) -> Result<Vec<f64>, CheckpointError> {
    let fit = |why| CheckpointError::Fit { path: path.to_owned(), why };
    let fits = |sides: &[u64]| {
        let got: Vec<usize> = sides.iter().map(|&side| side as usize).collect();
        if got == shape {
            return Ok(());
        }
        Err(fit(ParamsError::Shape { name: name.to_owned(), got, wanted: shape.to_vec() }))
    };
    if let Some(decoded) = kilter_weights::quantize::decode(file, name)? {
        return fits(&decoded.shape).map(|()| decoded.numbers);
    }
    let tensor = file.get(name).ok_or_else(|| {
        let distance = |other: &str| strsim::osa_distance(other, name);
        let near = file
            .tensors()
            .iter()
            .map(kilter_weights::Tensor::name)
            .min_by_key(|other| distance(other))
            .map(str::to_owned);
        fit(ParamsError::Missing { name: name.to_owned(), near })
    })?;
    fits(tensor.shape())?;
    let mut numbers = vec![0.0; tensor.entries() as usize];
    tensor.dtype().decode(&tensor.window(0..tensor.bytes())?, &mut numbers);
    Ok(numbers)
}

/// Where the checkpoint before the one at `place` is kept.
pub fn previous(place: &Path) -> PathBuf {
    place.with_extension("previous.safetensors")
}

impl Training {
    /// Writes a checkpoint, and keeps the one before.
    pub(super) fn checkpoint(&self, place: &Path) -> Result<(), CheckpointError> {
        if place.exists() {
            let before = previous(place);
            // Two names of one file, until the new one takes the first. Where that cannot be, there is just no second one.
            let _ = std::fs::remove_file(&before);
            let _ = std::fs::hard_link(place, &before);
        }
        self.save(place)
    }

    /// Goes on where the newest whole checkpoint of a training stopped: that at `place` or, if it is damaged, the one
    /// before. Gives what is wrong with the newest, if it is.
    ///
    /// # Errors
    /// If neither can be read; what is said is of the newest.
    pub fn resume_newest(place: &Path, params: &Params) -> Result<(Self, Option<TrainError>), TrainError> {
        let newest = match Self::resume(place, params.clone(), None) {
            Ok(training) => return Ok((training, None)),
            Err(why) => why,
        };
        match Self::resume(&previous(place), params.clone(), None) {
            Ok(training) => Ok((training, Some(newest))),
            Err(_) => Err(newest),
        }
    }

    /// Writes all that is needed to go on.
    ///
    /// # Errors
    /// If the file cannot be written; what was there before is then still there.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let specs = self.params.specs();
        let mut tensors: Vec<_> = specs
            .iter()
            .zip(self.params.values())
            .map(|(spec, value)| (spec.name.clone(), spec.shape.clone(), host(value)))
            .collect();
        for (spec, state) in specs.iter().zip(&self.memory) {
            for (name, vector) in &state.vectors {
                tensors.push((format!("{MEMORY}{}/{name}", spec.name), vec![vector.len()], vector.clone()));
            }
        }
        for (spec, average) in specs.iter().zip(self.average.iter().flatten()) {
            tensors.push((format!("{AVERAGE}{}", spec.name), spec.shape.clone(), average.clone()));
        }
        for (part, states) in self.carried.iter().enumerate() {
            for (name, state) in states {
                let numbers = host(&state.clone().reshape([state.dims().iter().product::<usize>()]));
                tensors.push((format!("{CARRIED}{part}/{name}"), state.dims().to_vec(), numbers));
            }
        }
        let names = |state: &State<f32>| state.vectors.iter().map(|(name, _)| name.clone()).collect();
        let told = Told {
            config: self.config.clone(),
            done: self.done,
            best: self.best,
            since_best: self.since_best,
            memory: self.memory.iter().map(names).collect(),
            averaged: self.average.is_some(),
            carried: self.carried.iter().map(|states| states.keys().cloned().collect()).collect(),
        };
        let mut metadata = self.notes.clone();
        metadata.insert(KEY.to_owned(), serde_json::to_string(&told).unwrap_or_default());
        write(path, tensors, &metadata)
    }

    /// Goes on where a file stopped. The network is that of `params`; `steps` may be more than before.
    ///
    /// # Errors
    /// If the file cannot be read or holds another network or no training.
    pub fn resume(path: &Path, params: Params, steps: Option<u64>) -> Result<Self, TrainError> {
        let file = Checkpoint::open(path).map_err(CheckpointError::from)?;
        let no_training = |why: String| CheckpointError::NoTraining { path: path.to_owned(), why };
        let told = file.metadata().get(KEY).ok_or_else(|| no_training(format!("its metadata has no `{KEY}`")))?;
        let mut told: Told = serde_json::from_str(told).map_err(|why| no_training(why.to_string()))?;
        told.config.steps = steps.unwrap_or(told.config.steps);
        let mut training = Self::new(told.config, load_weights(&params, path)?)?;
        let narrow = |numbers: Vec<f64>| numbers.into_iter().map(|x| x as f32).collect::<Vec<f32>>();
        let specs = training.params.specs().to_vec();
        for ((spec, state), names) in specs.iter().zip(&mut training.memory).zip(told.memory) {
            for name in names {
                let full = format!("{MEMORY}{}/{name}", spec.name);
                let count = file.get(&full).map_or(0, |tensor| tensor.entries() as usize);
                state.vectors.push((name, narrow(read(&file, path, &full, &[count])?)));
            }
        }
        if told.averaged {
            let of = |spec: &crate::params::Spec| read(&file, path, &format!("{AVERAGE}{}", spec.name), &spec.shape);
            training.average = Some(specs.iter().map(|spec| of(spec).map(narrow)).collect::<Result<_, _>>()?);
        }
        for (part, names) in told.carried.into_iter().enumerate() {
            let of = |name: String| -> Result<_, CheckpointError> {
                let full = format!("{CARRIED}{part}/{name}");
                let sides = file.get(&full).map_or([0, 0], |tensor| {
                    let shape = tensor.shape();
                    [0, 1].map(|at| shape.get(at).map_or(0, |side| *side as usize))
                });
                let numbers = read(&file, path, &full, &sides)?;
                let data = TensorData::new(numbers, sides).convert_dtype(params.dtype());
                Ok((name, Tensor::from_data(data, (params.device(), params.dtype()))))
            };
            training.carried.push(names.into_iter().map(of).collect::<Result<_, _>>()?);
        }
        (training.done, training.best, training.since_best) = (told.done, told.best, told.since_best);
        Ok(training)
    }
}
