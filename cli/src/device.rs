//! Where to compute: the device, and the threads of the CPU.

use super::output;
use anyhow::Context;
use candle_core::Device;
use clap::ValueEnum;
use std::io::IsTerminal;

/// A device by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum DeviceName {
    /// The processor, with this crate's own kernels
    #[default]
    Cpu,
    /// An NVIDIA GPU; needs a build with the feature `cuda`
    Cuda,
    /// An Apple GPU; needs a build with the feature `metal`
    Metal,
}

impl DeviceName {
    /// Opens the device.
    pub(super) fn open(self) -> anyhow::Result<Device> {
        let (name, built, open): (_, _, fn(usize) -> candle_core::Result<Device>) = match self {
            Self::Cpu => return Ok(Device::Cpu),
            Self::Cuda => ("cuda", candle_core::utils::cuda_is_available(), Device::new_cuda),
            Self::Metal => ("metal", candle_core::utils::metal_is_available(), Device::new_metal),
        };
        if !built {
            anyhow::bail!(
                "--device {name}: this build has no {name}; build with `cargo build --release --features {name}`, or \
                 leave --device out"
            );
        }
        open(0).with_context(|| format!("--device {name}"))
    }
}

/// Makes the pool of threads that training and evaluation share; `None` is as many as there are processors. This thread
/// is one of them: it would otherwise sleep and be woken several times a batch. Results do not depend on the pool.
pub(super) fn set_threads(threads: Option<usize>) -> anyhow::Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().use_current_thread();
    let pool = match threads {
        Some(threads) => pool.num_threads(threads),
        None => pool,
    };
    pool.build_global().context("the pool of threads")
}

/// Lines that say what is being read or fetched, on a terminal and unless `quiet`.
pub(super) fn status(quiet: bool) -> impl FnMut(&str) {
    let shown = !quiet && std::io::stderr().is_terminal();
    move |line: &str| {
        if shown {
            output::message(line);
        }
    }
}
