//! Prepares images: what `compare.py` compares with the libraries' own transforms.
//!
//! Each line on stdin has five parts between tabs: `recipe` and its name, or `model` and the path of a model; the width and
//! the height of the input, 0 for open ones; the path of the image. For each line comes a line of JSON on stdout. Unless
//! the image is rejected, the tensor follows: 32-bit little-endian floats in the order NCHW.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::{BufRead as _, Write as _};

use backend_api::{BackendInfo, Dim, ElementType, Tensor, TensorSpec};
use image_classification::{
    DecodeLimits, Image, Preprocess, PreprocessOverrides, ResolvedPreprocessing,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let [kind, name, width, height, image] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("not five parts: {line}").into());
        };
        match tensor(kind, name, [height.parse()?, width.parse()?], image) {
            Ok((tensor, preprocess)) => {
                let bytes = tensor.as_bytes();
                let line = serde_json::json!({
                    "bytes": bytes.len(),
                    "shape": tensor.shape(),
                    "preprocess": {
                        "color": preprocess.color.to_string(),
                        "mean": preprocess.mean,
                        "scale": preprocess.scale,
                        "resize": preprocess.resize.to_string(),
                        "interpolation": preprocess.interpolation.to_string(),
                    },
                });
                writeln!(out, "{line}")?;
                out.write_all(bytes)?;
            }
            Err(error) => {
                let mut text = error.to_string();
                let mut source = error.source();
                while let Some(error) = source {
                    text = format!("{text}: {error}");
                    source = error.source();
                }
                writeln!(out, "{}", serde_json::json!({ "error": text }))?;
            }
        }
        out.flush()?;
    }
    Ok(())
}

fn tensor(
    kind: &str,
    name: &str,
    [height, width]: [usize; 2],
    image: &str,
) -> Result<(Tensor, Preprocess), Box<dyn Error>> {
    let resolved = if kind == "recipe" {
        ResolvedPreprocessing::from_overrides(&PreprocessOverrides {
            recipe: Some(name.parse()?),
            ..PreprocessOverrides::default()
        })?
    } else {
        ResolvedPreprocessing::find(name, &PreprocessOverrides::default())?
    };
    let spec = |dims: &[usize]| {
        let dim = |&size: &usize| match size {
            0 => Dim::Dynamic,
            size => Dim::Fixed(size),
        };
        let dims = dims.iter().map(dim).collect();
        TensorSpec::new("x", ElementType::F32, dims)
    };
    let info = BackendInfo::new("none", spec(&[1, 3, height, width]), spec(&[1, 1000]));
    let fitted = resolved.fit(&info)?;
    let image = Image::decode(&std::fs::read(image)?, &DecodeLimits::default())?;
    let preprocess = fitted.resolved.preprocess;
    let tensor = preprocess.tensor(&image, &fitted.layout)?;
    Ok((tensor, preprocess))
}
