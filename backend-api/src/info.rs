//! The description of a backend.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::tensor_spec::dims_accept;
use crate::{DeclaredOutput, Error, ErrorKind, InferOutput, Precision, Tensor, TensorSpec};

/// The runtime library of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FoundLibrary {
    /// The file.
    pub path: PathBuf,
    /// The step of the search that found it: `the system's library directories`.
    pub origin: String,
}

/// The engine, model, device and precision of a backend. Reports quote it, so that no fallback is silent.
///
/// Engines create it with [`BackendInfo::new`] and fill in the fields.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct BackendInfo {
    /// The backend's short name, as users select it: `openvino`, `onnx`, `rten`.
    pub backend: String,
    /// The engine's name for people: `OpenVINO`, `ONNX Runtime`, `RTen`.
    pub engine: String,
    /// The version that the engine reports.
    pub engine_version: String,
    /// The runtime library that was loaded and how it was found, if there is one.
    pub library: Option<FoundLibrary>,
    /// The model file. `None` for a model that was opened from memory.
    pub model: Option<PathBuf>,
    /// The name of a model that is not a file on this machine, with its version: `resnet50:3` on a server.
    #[cfg_attr(feature = "serde", serde(default))]
    pub model_name: Option<String>,
    /// The requested device, as it was written.
    pub requested_device: String,
    /// The devices that execute, as the engine names them.
    pub devices: Vec<String>,
    /// Device names that a plugins file gave to another plugin, each with that plugin's name. The hardware of that
    /// name is never used.
    pub aliases: BTreeMap<String, String>,
    /// Remarks on how the model runs, a sentence each.
    pub notes: Vec<String>,
    /// The requested precision.
    pub requested_precision: Precision,
    /// The precision that executes, as the engine names it.
    pub precision: String,
    /// The input of a request.
    pub input: TensorSpec,
    /// The output of a request that holds the scores.
    pub output: TensorSpec,
    /// True if neither the caller nor a name such as `logits`, `probs` or `scores` decides which of several outputs holds
    /// the scores.
    #[cfg_attr(feature = "serde", serde(default))]
    pub output_is_assumed: bool,
    /// The other outputs of a request, in the order of [`InferOutput::extra`](crate::InferOutput::extra).
    #[cfg_attr(feature = "serde", serde(default))]
    pub extra_outputs: Vec<TensorSpec>,
    /// All outputs that the model declares, in its order. Requests give only those of the fields above.
    #[cfg_attr(feature = "serde", serde(default))]
    pub outputs: Vec<DeclaredOutput>,
    /// The number of requests that run at a time. [`SlotPool::new`](crate::SlotPool::new) sets it.
    pub slots: usize,
    /// The means that keep the engine apart from the caller's process, such as `process, Landlock, seccomp`. `None` for
    /// an engine that runs in the caller's process.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub isolation: Option<String>,
}

impl BackendInfo {
    /// Returns a description of a model with one output, `output`. The fields that have no argument are empty.
    pub fn new(backend: impl Into<String>, input: TensorSpec, output: TensorSpec) -> Self {
        Self {
            backend: backend.into(),
            engine: String::new(),
            engine_version: String::new(),
            library: None,
            model: None,
            model_name: None,
            requested_device: String::new(),
            devices: Vec::new(),
            aliases: BTreeMap::new(),
            notes: Vec::new(),
            requested_precision: Precision::default(),
            precision: String::new(),
            input,
            outputs: vec![DeclaredOutput::Usable(output.clone())],
            output,
            output_is_assumed: false,
            extra_outputs: Vec::new(),
            slots: 0,
            isolation: None,
        }
    }

    /// Returns the devices that execute, joined with `+`: `GPU+CPU`. An alias from a plugins file is marked, so that
    /// nobody mistakes it for the hardware of its name.
    pub fn executed_devices(&self) -> String {
        let mut text = String::new();
        for device in &self.devices {
            if !text.is_empty() {
                text.push('+');
            }
            // OpenVINO reports either the alias or its plugin.
            let mut aliases = self.aliases.iter();
            match aliases.find(|(alias, plugin)| [*alias, *plugin].contains(&device)) {
                Some((alias, plugin)) => text.extend([alias.as_str(), " (alias of ", plugin, ")"]),
                None => text.push_str(device),
            }
        }
        text
    }

    /// Returns the place of the output that holds the scores among all that the model declares.
    pub fn output_place(&self) -> Option<usize> {
        let mut outputs = self.outputs.iter();
        outputs.position(|output| output.name() == self.output.name)
    }

    /// Returns one line on the engine, the devices and the precision, executed and requested, the slots, and the
    /// isolation.
    pub fn description(&self) -> String {
        let isolation = self.isolation.as_ref();
        format!(
            "{} {} on {} (requested: {}), precision {} (requested: {}), {} infer request{}{}",
            self.engine,
            self.engine_version,
            self.executed_devices(),
            self.requested_device,
            self.precision,
            self.requested_precision,
            self.slots,
            if self.slots == 1 { "" } else { "s" },
            isolation.map_or_else(String::new, |means| format!(", isolated ({means})")),
        )
    }

    /// Checks that a result has the outputs of this description, each with its element type, its rank and its fixed sizes.
    /// Scores of another size would get the names of other classes. The outermost size may be `batch`, that of the input:
    /// models declare the one of their export there, although they take others.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutputMismatch`]; the message names the output and both sides.
    pub(crate) fn check_output(
        &self,
        output: &InferOutput,
        batch: Option<usize>,
    ) -> Result<(), Error> {
        if !fits(&self.output, &output.tensor) && !fits_a_batch(&self.output, &output.tensor, batch)
        {
            return Err(mismatch(&self.output, &output.tensor));
        }
        let names = output.extra.iter().map(|it| &it.name);
        if !names.eq(self.extra_outputs.iter().map(|spec| &spec.name)) {
            let names: Vec<_> = output.extra.iter().map(|it| &it.name).collect();
            let declared: Vec<_> = self.extra_outputs.iter().map(|spec| &spec.name).collect();
            let message =
                format!("the engine gave the extra outputs {names:?} instead of {declared:?}");
            return Err(Error::new(ErrorKind::OutputMismatch, message));
        }
        for (spec, extra) in self.extra_outputs.iter().zip(&output.extra) {
            // Its outermost dimension has the size of the batch here, but need not be one: boxes in an image.
            let is_open = || {
                let declared = self.outputs.iter().filter_map(DeclaredOutput::spec);
                let mut named = declared.filter(|declared| declared.name == spec.name);
                named.any(|declared| fits(declared, &extra.tensor))
            };
            if !fits(spec, &extra.tensor) && !is_open() {
                return Err(mismatch(spec, &extra.tensor));
            }
        }
        Ok(())
    }

    /// Returns the number of output values for each image, if the model's input and output have fixed sizes.
    pub fn class_count(&self) -> Option<usize> {
        let shape = self.output.fixed_shape()?;
        let batch = *self.input.fixed_shape()?.first()?;
        Some(shape.iter().product::<usize>() / batch.max(1))
    }
}

fn fits(spec: &TensorSpec, tensor: &Tensor) -> bool {
    tensor.element_type() == spec.element_type && spec.accepts(tensor.shape())
}

/// Returns whether a tensor with `batch` as its outermost size fits in all other dimensions.
fn fits_a_batch(spec: &TensorSpec, tensor: &Tensor, batch: Option<usize>) -> bool {
    let ([_, declared @ ..], [first, sizes @ ..]) = (&*spec.dims, tensor.shape()) else {
        return false;
    };
    tensor.element_type() == spec.element_type
        && Some(*first) == batch
        && !declared.is_empty()
        && dims_accept(declared, sizes)
}

fn mismatch(spec: &TensorSpec, tensor: &Tensor) -> Error {
    let message = format!(
        "the engine gave the output {:?} as {}{:?}, but the model declares {spec}",
        spec.name,
        tensor.element_type(),
        tensor.shape()
    );
    Error::new(ErrorKind::OutputMismatch, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dim, ElementType};

    fn info(input: &[Dim], output: &[Dim]) -> BackendInfo {
        let spec = |dims: &[Dim]| TensorSpec::new("x", ElementType::F32, dims.to_vec());
        BackendInfo::new("openvino", spec(input), spec(output))
    }

    #[test]
    fn an_alias_does_not_pass_for_the_hardware_of_its_name() {
        let mut info = info(&[Dim::Fixed(1)], &[Dim::Fixed(1)]);
        info.aliases.insert("MYRIAD".into(), "CPU_A".into());
        info.devices = ["CPU_A", "CPU"].map(str::to_owned).into();
        assert_eq!(info.executed_devices(), "MYRIAD (alias of CPU_A)+CPU");
        info.devices = vec!["MYRIAD".to_owned()];
        assert_eq!(info.executed_devices(), "MYRIAD (alias of CPU_A)");
    }

    #[test]
    fn a_description_has_what_executes_and_what_was_requested() {
        let mut info = info(&[Dim::Fixed(1)], &[Dim::Fixed(1)]);
        info.engine = "OpenVINO".into();
        info.engine_version = "2026.4".into();
        info.requested_device = "AUTO".into();
        info.devices = vec!["CPU".to_owned()];
        info.precision = "bf16".into();
        info.requested_precision = Precision::Auto;
        info.slots = 2;
        assert_eq!(
            info.description(),
            "OpenVINO 2026.4 on CPU (requested: AUTO), precision bf16 (requested: auto), 2 infer requests"
        );
        info.isolation = Some("process, seccomp".into());
        let description = info.description();
        assert!(
            description.ends_with("2 infer requests, isolated (process, seccomp)"),
            "{description}"
        );
    }

    #[test]
    fn outputs_of_another_size_are_found() {
        let fixed = |dims: &[usize]| dims.iter().copied().map(Dim::Fixed).collect::<Vec<_>>();
        let info = info(&fixed(&[1, 3, 8, 8]), &fixed(&[4, 12]));
        let check = |shape: &[usize], batch| {
            let values = vec![0.0_f32; shape.iter().product()];
            let output = InferOutput::new(Tensor::new(shape, values).unwrap());
            info.check_output(&output, Some(batch)).is_ok()
        };
        assert!(check(&[4, 12], 4));
        assert!(
            check(&[1, 12], 1),
            "the declared batch is that of the export"
        );
        assert!(!check(&[2, 12], 1));
        assert!(!check(&[1, 3], 1));
        assert!(!check(&[1, 12, 1], 1));
        assert!(!check(&[1], 1));
    }

    #[test]
    fn classes_are_counted_for_one_image_of_a_batch() {
        let fixed = |dims: &[usize]| dims.iter().copied().map(Dim::Fixed).collect::<Vec<_>>();
        let count = |input: &[Dim], output: &[Dim]| info(input, output).class_count();
        assert_eq!(count(&fixed(&[1, 3, 8, 8]), &fixed(&[1, 12])), Some(12));
        assert_eq!(
            count(&fixed(&[4, 3, 8, 8]), &fixed(&[4, 12, 1, 1])),
            Some(12)
        );
        assert_eq!(count(&fixed(&[1, 8]), &[Dim::Fixed(1), Dim::Dynamic]), None);
        assert_eq!(
            count(&[Dim::Dynamic, Dim::Fixed(8)], &fixed(&[1, 12])),
            None
        );
    }
}
