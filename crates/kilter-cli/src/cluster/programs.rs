//! A plan in the words of the programs that train.

use clap::ValueEnum;
use kilter_laws::parallel::{Hardware, Model, Plan, Recompute};
use kilter_laws::transformer_cost::Norm;
use serde_json::json;

use crate::fault::Fault;

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Format {
    /// Arguments of Megatron-LM
    Megatron,
    /// A configuration of DeepSpeed (JSON)
    Deepspeed,
    /// A configuration of torchtitan (TOML)
    Torchtitan,
    /// A batch script of Slurm that starts Megatron-LM
    Slurm,
}

/// The best plan in another program's words.
pub fn settings_of(format: Format, model: &Model, plan: &Plan, hardware: &Hardware) -> Result<String, Fault> {
    let s = &plan.strategy;
    Ok(match format {
        Format::Megatron => megatron(model, plan).join(" \\\n  "),
        Format::Deepspeed => serde_json::to_string_pretty(&json!({
            "train_batch_size": s.global_batch,
            "train_micro_batch_size_per_gpu": s.micro_batch,
            "gradient_accumulation_steps": s.micro_batches(),
            "zero_optimization": { "stage": s.zero, "overlap_comm": true },
            "bf16": { "enabled": true },
            "activation_checkpointing": { "partition_activations": s.recompute == Recompute::Full },
            "tensor_parallel": { "autotp_size": s.tp },
            "pipeline": { "stages": s.pp },
        }))
        .map_err(Fault::work)?,
        Format::Torchtitan => {
            let (shard, replicate) = if s.zero >= 1 { (s.dp, 1) } else { (1, s.dp) };
            let schedule = if s.interleave > 1 { "Interleaved1F1B" } else { "1F1B" };
            let recompute = match s.recompute {
                Recompute::None => "none",
                Recompute::Selective => "selective",
                Recompute::Full => "full",
            };
            format!(
                "[training]\nlocal_batch_size = {}\nglobal_batch_size = {}\nseq_len = {}\n\n[parallelism]\n\
                 data_parallel_replicate_degree = {replicate}\ndata_parallel_shard_degree = {shard}\n\
                 tensor_parallel_degree = {}\npipeline_parallel_degree = {}\n\
                 pipeline_parallel_schedule = \"{schedule}\"\npipeline_parallel_microbatch_size = {}\n\n\
                 [activation_checkpoint]\nmode = \"{recompute}\"",
                s.global_batch / s.dp,
                s.global_batch,
                model.seq_len,
                s.tp,
                s.pp,
                s.micro_batch,
            )
        }
        Format::Slurm => {
            let per_node = hardware.node.min(s.devices());
            format!(
                "#!/bin/bash\n#SBATCH --job-name={}\n#SBATCH --nodes={}\n#SBATCH --ntasks-per-node={per_node}\n\
                 #SBATCH --gpus-per-node={per_node}\n#SBATCH --exclusive\n\nexport MASTER_ADDR=$(scontrol show hostnames \
                 \"$SLURM_JOB_NODELIST\" | head -n 1)\nexport MASTER_PORT=29500\nsrun python3 pretrain_gpt.py \\\n  {}",
                model.name.replace(['=', ','], "-"),
                s.devices().div_ceil(per_node),
                megatron(model, plan).join(" \\\n  ")
            )
        }
    })
}

fn megatron(model: &Model, plan: &Plan) -> Vec<String> {
    let s = &plan.strategy;
    let mut words = vec![
        format!("--tensor-model-parallel-size {}", s.tp),
        format!("--pipeline-model-parallel-size {}", s.pp),
        format!("--micro-batch-size {} --global-batch-size {}", s.micro_batch, s.global_batch),
        format!("--num-layers {} --hidden-size {} --num-attention-heads {}", model.layers, model.hidden, model.heads),
        format!("--seq-length {0} --max-position-embeddings {0}", model.seq_len),
        "--bf16".to_owned(),
    ];
    if let Some(shape) = &model.shape {
        words.push(format!("--ffn-hidden-size {} --kv-channels {}", shape.ffn, shape.head_dim));
        if shape.kv_heads < shape.heads {
            words.push(format!("--group-query-attention --num-query-groups {}", shape.kv_heads));
        }
        let switches = [
            (shape.gated, "--swiglu"),
            (shape.norm == Norm::Rms, "--normalization RMSNorm"),
            (!shape.biases, "--disable-bias-linear"),
            (!shape.learned_positions, "--position-embedding-type rope"),
            (!shape.tied_head, "--untie-embeddings-and-output-weights"),
        ];
        words.extend(switches.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()));
    }
    if s.interleave > 1 {
        let layers = model.layers / (s.pp * s.interleave);
        words.push(format!("--num-layers-per-virtual-pipeline-stage {layers}"));
    }
    match s.zero {
        0 => {}
        1 => words.push("--use-distributed-optimizer --overlap-grad-reduce".to_owned()),
        stage => words.push(format!(
            "--use-megatron-fsdp --data-parallel-sharding-strategy {}",
            if stage == 2 { "optim_grads" } else { "optim_grads_params" }
        )),
    }
    match s.recompute {
        Recompute::None => {}
        Recompute::Selective => words.push("--recompute-granularity selective".to_owned()),
        Recompute::Full => {
            words.push("--recompute-granularity full --recompute-method uniform --recompute-num-layers 1".to_owned());
        }
    }
    if s.sequence_parallel {
        words.push("--sequence-parallel".to_owned());
    }
    words
}
