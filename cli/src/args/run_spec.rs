//! A run as it is written on the command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum as _;

use super::remote::RemoteModel;
use super::values::{Backend, PrecisionArg};

/// A run as it is written: `BACKEND[:DEVICE][@PRECISION][#OUTPUT][=MODEL]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSpec {
    /// The run as it was written.
    pub text: String,
    pub backend: Backend,
    pub device: Option<String>,
    pub precision: Option<PrecisionArg>,
    /// The name of the output that holds the scores.
    pub output: Option<String>,
    pub model: Option<PathBuf>,
    /// The model of a remote run. It has no `model`.
    pub remote: Option<RemoteModel>,
}

impl FromStr for RunSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "write BACKEND[:DEVICE][@PRECISION][#OUTPUT][=MODEL], such as openvino:CPU@f32";
        // None of `=`, `#` and `@` is in a device's name; an output's name may have `:` and `@`, a model's path anything.
        let (engine, model) = match text.split_once('=') {
            Some((engine, model)) => (engine, Some(model)),
            None => (text, None),
        };
        let (engine, output) = match engine.split_once('#') {
            Some((engine, output)) => (engine, Some(output)),
            None => (engine, None),
        };
        let (engine, precision) = match engine.rsplit_once('@') {
            Some((engine, precision)) => (engine, Some(precision)),
            None => (engine, None),
        };
        let (backend, device) = match engine.split_once(':') {
            Some((backend, device)) => (backend, Some(device)),
            None => (engine, None),
        };
        if [model, device, output].contains(&Some("")) {
            return Err(format!(
                "something is missing after `:`, `#` or `=`; {FORM}"
            ));
        }
        let names = |values: Vec<clap::builder::PossibleValue>| {
            let names: Vec<_> = values
                .iter()
                .map(|value| value.get_name().to_owned())
                .collect();
            names.join(", ")
        };
        let backend = Backend::from_str(backend, true).map_err(|_| {
            let known = Backend::value_variants();
            let known = names(
                known
                    .iter()
                    .filter_map(Backend::to_possible_value)
                    .collect(),
            );
            let model = Path::new(text);
            if model.is_file() {
                let is_onnx = model.extension().is_some_and(|ending| ending == "onnx");
                let engine = if is_onnx { "onnx" } else { "openvino" };
                return format!("`{text}` is a file, not a backend; write `{engine}={text}`");
            }
            format!("unknown backend `{backend}` (known: {known}); {FORM}")
        })?;
        let precision = precision
            .map(|precision| PrecisionArg::from_str(precision, true).map_err(|_| precision))
            .transpose()
            .map_err(|precision| {
                let known = PrecisionArg::value_variants();
                let known = names(
                    known
                        .iter()
                        .filter_map(PrecisionArg::to_possible_value)
                        .collect(),
                );
                format!("unknown precision `{precision}` (known: {known}); {FORM}")
            })?;
        let remote = match (backend, model) {
            (Backend::Remote, _) if device.is_some() => {
                return Err("the device of a remote run is the server's; write remote=grpc://host:port/MODEL".to_owned());
            }
            (Backend::Remote, _) if !matches!(precision, None | Some(PrecisionArg::Auto)) => {
                return Err("the precision of a remote run is the server's; write remote=grpc://host:port/MODEL".to_owned());
            }
            (Backend::Remote, model) => Some(model.unwrap_or_default().parse()?),
            _ => None,
        };
        let model = model.filter(|_| remote.is_none());
        Ok(Self {
            remote,
            text: text.to_owned(),
            backend,
            device: device.map(str::to_owned),
            precision,
            output: output.map(str::to_owned),
            model: model.map(PathBuf::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read() {
        let read = |text: &str| text.parse::<RunSpec>().unwrap();
        let run = read("openvino:HETERO:GPU,CPU@bf16=models/a=b@c.xml");
        assert_eq!(run.backend, Backend::Openvino);
        assert_eq!(run.device.as_deref(), Some("HETERO:GPU,CPU"));
        assert_eq!(run.precision, Some(PrecisionArg::Bf16));
        assert_eq!(run.model, Some(PathBuf::from("models/a=b@c.xml")));
        let run = read("onnx");
        assert_eq!((run.device, run.precision, run.model), (None, None, None));
        assert_eq!(read("onnx=m.onnx").model, Some(PathBuf::from("m.onnx")));
        let run = read("openvino:CPU@f32#head/Softmax:0=a#b.onnx");
        assert_eq!(run.device.as_deref(), Some("CPU"));
        assert_eq!(run.output.as_deref(), Some("head/Softmax:0"));
        assert_eq!(run.model, Some(PathBuf::from("a#b.onnx")));
        assert_eq!(read("onnx=a#b.onnx").output, None);
        let run = read("remote#logits=grpc://a:1/m:2");
        assert_eq!((run.output.as_deref(), run.model), (Some("logits"), None));
        assert_eq!(run.remote.unwrap().model.name, "m");
        assert_eq!(read("OpenVINO@F32").precision, Some(PrecisionArg::F32));
    }

    #[test]
    fn what_is_no_run_says_what_is_one() {
        for (text, word) in [
            ("", "openvino, onnx"),
            ("tensorrt", "openvino, onnx"),
            ("photos/cat.jpg", "openvino, onnx"),
            ("onnx@f64", "auto, f32, bf16, f16"),
            ("onnx:", "missing"),
            ("onnx=", "missing"),
            ("onnx#", "missing"),
            ("remote", "remote=grpc://"),
            ("remote:GPU=grpc://a:1/m", "device of a remote run"),
            ("remote@f32=grpc://a:1/m", "precision of a remote run"),
        ] {
            let error = text.parse::<RunSpec>().unwrap_err();
            assert!(
                error.contains(word)
                    && (error.contains("BACKEND[:DEVICE]") || error.contains("grpc://host:port")),
                "{error}"
            );
        }
    }
}
