//! Execution providers, ONNX Runtime's form of devices.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use backend_api::{Error, ErrorKind, FoundLibrary, Precision};
use ort::ep::{self, ExecutionProvider as _, ExecutionProviderDispatch};

use crate::error::panicked;
use crate::probe;

/// An execution provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provider {
    /// The name as a device: `CUDA`. It is read in any case.
    pub device: &'static str,
    /// ONNX Runtime's name: `CUDAExecutionProvider`.
    pub name: &'static str,
    /// The way to get it if the runtime lacks it.
    pub remedy: &'static str,
}

/// A runtime and its execution providers.
///
/// ```
/// # let library_dirs = classify_tests::library_dirs();
/// # if backend_onnx::find_library(None, &library_dirs).is_err() { return Ok(()) }
/// let providers = backend_onnx::providers(None, &library_dirs)?;
/// assert!(providers.available.iter().any(|provider| provider.device == "CPU"));
/// # Ok::<(), backend_api::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderList {
    /// The runtime that was asked.
    pub library: FoundLibrary,
    /// Its version.
    pub version: String,
    /// The providers that the runtime was built with. Whether their drivers work shows when a model is opened.
    pub available: Vec<Provider>,
    /// The providers that it lacks.
    pub missing: Vec<Provider>,
}

/// Finds and loads the runtime and asks for its execution providers.
///
/// `library` and `library_dirs` are as in [`OnnxConfig`](crate::OnnxConfig).
///
/// # Errors
///
/// [`ErrorKind::EngineUnavailable`]: no usable runtime.
pub fn providers(library: Option<&Path>, library_dirs: &[PathBuf]) -> Result<ProviderList, Error> {
    catch_unwind(AssertUnwindSafe(|| {
        let (library, _environment) = probe::load(library, library_dirs)?;
        let (available, missing): (Vec<&Known>, Vec<&Known>) =
            KNOWN.iter().partition(|known| known.is_available());
        let providers = |known: Vec<&Known>| {
            let known = known.into_iter();
            known.map(|known| known.provider.clone()).collect()
        };
        Ok(ProviderList {
            version: probe::version(&library.path),
            library,
            available: providers(available),
            missing: providers(missing),
        })
    }))
    .unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

/// A provider and the way to ask for it. ONNX Runtime turns to the CPU when a provider fails, unless each provider is
/// told that a failure is an error.
pub(crate) struct Known {
    pub(crate) provider: Provider,
    /// Asks the loaded runtime for it.
    ask: fn() -> ort::Result<bool>,
    /// For a model that has to be computed in f32, or for any.
    dispatch: fn(f32: bool) -> ExecutionProviderDispatch,
}

macro_rules! known {
    ($type:ty, $device:literal, $remedy:literal, $dispatch:expr) => {
        Known {
            provider: Provider {
                device: $device,
                name: <$type>::NAME,
                remedy: $remedy,
            },
            ask: <$type>::is_available,
            dispatch: $dispatch,
        }
    };
}

static KNOWN: [Known; 8] = [
    known!(ep::CPU, "CPU", "every runtime has it", |_| {
        ep::CPU::default().build()
    }),
    known!(
        ep::CUDA,
        "CUDA",
        "install a build with it (`pip install onnxruntime-gpu`) and NVIDIA's driver",
        // TF32, its default, keeps 10 bits of the mantissa.
        |f32| ep::CUDA::default().with_tf32(!f32).build()
    ),
    known!(
        ep::TensorRT,
        "TENSORRT",
        "install a build with it (`pip install onnxruntime-gpu`) and TensorRT",
        |_| ep::TensorRT::default().build()
    ),
    known!(
        ep::OpenVINO,
        "OPENVINO",
        "install a build with it (`pip install onnxruntime-openvino`)",
        |f32| {
            let provider = ep::OpenVINO::default().with_device_type("CPU");
            if f32 {
                provider.with_precision("FP32").build()
            } else {
                provider.build()
            }
        }
    ),
    known!(
        ep::MIGraphX,
        "MIGRAPHX",
        "install a build with it (`pip install onnxruntime-migraphx`) and AMD's ROCm",
        |_| ep::MIGraphX::default().build()
    ),
    known!(
        ep::DirectML,
        "DIRECTML",
        "on Windows: install a build with it (`pip install onnxruntime-directml`)",
        |_| ep::DirectML::default().build()
    ),
    known!(
        ep::CoreML,
        "COREML",
        "on macOS: the package `onnxruntime` has it",
        |_| ep::CoreML::default().build()
    ),
    known!(ep::XNNPACK, "XNNPACK", "build ONNX Runtime with it", |_| {
        ep::XNNPACK::default().build()
    }),
];

/// The CPU provider, which is all that most builds have.
pub(crate) const CPU: &str = "CPU";

impl Known {
    /// Returns whether the loaded runtime was built with it.
    fn is_available(&self) -> bool {
        (self.ask)().unwrap_or(false)
    }

    /// Returns the provider called `device`, if the runtime that is loaded has it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DeviceUnavailable`], with those that it has.
    pub(crate) fn find(device: &str) -> Result<&'static Self, Error> {
        let known = KNOWN
            .iter()
            .find(|known| known.provider.device.eq_ignore_ascii_case(device.trim()));
        if let Some(known) = known.filter(|known| known.is_available()) {
            return Ok(known);
        }
        let available: Vec<&str> = KNOWN
            .iter()
            .filter(|known| known.is_available())
            .map(|known| known.provider.device)
            .collect();
        let (message, hint) = match known {
            Some(known) => (
                format!(
                    "device {device} is not available: this build of ONNX Runtime has no {}",
                    known.provider.name
                ),
                known.provider.remedy.to_owned(),
            ),
            None => (
                format!("device {device} is not available in ONNX Runtime"),
                format!(
                    "use an execution provider as device: {}; OpenVINO's devices need `backend-openvino`",
                    KNOWN
                        .iter()
                        .map(|known| known.provider.device)
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            ),
        };
        Err(Error::new(ErrorKind::DeviceUnavailable, message)
            .with_context("available", available.join(", "))
            .with_hint(hint))
    }

    /// Returns the provider for a session, strictly.
    pub(crate) fn dispatch(&self, precision: Precision) -> ExecutionProviderDispatch {
        (self.dispatch)(precision == Precision::F32).error_on_failure()
    }
}
