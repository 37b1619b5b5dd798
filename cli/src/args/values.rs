//! Values of flags.

use std::str::FromStr;

use backend_api::{PerformanceHint, Precision};
use bytesize::ByteSize;
use clap::ValueEnum;
use evaluation::agreement::ToleranceName;
use image_classification::{Recipe, ScoreKind};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Backend {
    /// OpenVINO, with all of its devices
    Openvino,
    /// ONNX Runtime, the reference
    Onnx,
    /// RTen, which is built in and needs nothing installed; slower
    Rten,
    /// Servers of the Open Inference Protocol (Triton, KServe, MLServer, …), over gRPC
    Remote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    Auto,
    F32,
    Bf16,
    F16,
}

impl From<PrecisionArg> for Precision {
    fn from(precision: PrecisionArg) -> Self {
        match precision {
            PrecisionArg::Auto => Self::Auto,
            PrecisionArg::F32 => Self::F32,
            PrecisionArg::Bf16 => Self::Bf16,
            PrecisionArg::F16 => Self::F16,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hint {
    Throughput,
    Latency,
}

impl From<Hint> for PerformanceHint {
    fn from(hint: Hint) -> Self {
        match hint {
            Hint::Throughput => Self::Throughput,
            Hint::Latency => Self::Latency,
        }
    }
}

/// A [`ToleranceName`] as a value of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ToleranceArg {
    /// |Δp| ≤ 0.0001, logits within 0.0001, and the same order, ties excepted, on every image
    F32,
    /// |Δp| ≤ 0.05 and logits within 0.05 on every image, the same best class on 99 %
    F16,
    /// |Δp| ≤ 0.3 and logits within 0.4 on every image, the same best class on 98 %
    Bf16,
    /// |Δp| ≤ 0.3 and logits within 0.5 on every image, the same best class on 95 %
    Int8,
}

impl From<ToleranceArg> for ToleranceName {
    fn from(tolerance: ToleranceArg) -> Self {
        match tolerance {
            ToleranceArg::F32 => Self::F32,
            ToleranceArg::F16 => Self::F16,
            ToleranceArg::Bf16 => Self::Bf16,
            ToleranceArg::Int8 => Self::Int8,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scores {
    /// Probabilities; the model's last operator, its metadata or the first images decide how to compute them
    Auto,
    /// The unchanged output, which must be a distribution
    Probability,
    /// The softmax of the output
    Softmax,
    /// The sigmoid of each value of the output: several classes may be right
    Sigmoid,
    /// The unchanged output, named "score"
    Raw,
}

impl From<Scores> for ScoreKind {
    fn from(scores: Scores) -> Self {
        match scores {
            Scores::Auto => Self::Auto,
            Scores::Probability => Self::Probability,
            Scores::Softmax => Self::Softmax,
            Scores::Sigmoid => Self::Sigmoid,
            Scores::Raw => Self::Raw,
        }
    }
}

/// The classes that directories stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TruthFolders {
    /// By the directory's name, which is a label, an id or a synset of `ImageNet`
    Names,
    /// By the directory's name, of which a number is an id
    Ids,
    /// By the directory's name, of which a number is a label
    Labels,
    /// By the directory's place among all, in alphabetical order
    Sorted,
}

/// Evidence with which `--max-drop` fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DropRuleArg {
    /// The 95 % interval of the drop lies above the limit
    Shown,
    /// The observed drop is above the limit, even by one image
    Observed,
    /// The 95 % interval reaches above the limit
    Possible,
}

impl From<DropRuleArg> for evaluation::DropRule {
    fn from(rule: DropRuleArg) -> Self {
        match rule {
            DropRuleArg::Shown => Self::Shown,
            DropRuleArg::Observed => Self::Observed,
            DropRuleArg::Possible => Self::Possible,
        }
    }
}

/// Decoding of JPEGs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Decode {
    /// Bit-exact with libjpeg-turbo, Pillow and OpenCV
    #[default]
    Exact,
    /// Decodes large JPEGs at 1/2, 1/4 or 1/8 of their size: faster, but pixels differ and the best class
    /// may change
    Fast,
}

impl From<Decode> for image_classification::Decode {
    fn from(decode: Decode) -> Self {
        match decode {
            Decode::Exact => Self::Exact,
            Decode::Fast => Self::Fast,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The format of OpenVINO's sample
    Text,
    /// JSON Lines: one object per image
    Json,
    /// One row for each class of each image
    Csv,
    /// Arrays over all images, one for each output of --save-outputs
    Npz,
    /// A Parquet file with one row for each image; in programs that are built with the feature `parquet`
    Parquet,
}

/// The format of the results of `compare` and `evaluate` on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ResultFormat {
    /// A table and the verdict
    #[default]
    Text,
    /// One JSON object, the same as a .json report
    Json,
    /// One row for each image and run, the same as a .csv report
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextOrJson {
    /// A table
    Text,
    /// One JSON object
    Json,
}

/// A number of classes, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Top(pub usize);

impl FromStr for Top {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self(usize::MAX));
        }
        text.parse()
            .ok()
            .filter(|&number| number > 0)
            .map(Self)
            .ok_or_else(|| "expected a whole number of at least 1, or all".to_owned())
    }
}

/// Three numbers, or one for all three channels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Triple(pub [f32; 3]);

impl FromStr for Triple {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<f32>> = text
            .split(',')
            .map(|number| number.trim().parse().ok())
            .collect();
        match numbers.as_deref() {
            Some(&[all]) => Ok(Self([all; 3])),
            Some(&[a, b, c]) => Ok(Self([a, b, c])),
            _ => Err(
                "expected three numbers such as 123.675,116.28,103.53, or one for all channels"
                    .to_owned(),
            ),
        }
    }
}

/// A number of bytes as it is written: `512M`, `2GiB`. Letters count in powers of 1024, as `ulimit` and `docker` do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySize(pub u64);

impl FromStr for MemorySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected a size of at least 1M such as 512M or 2G, not `{text}`");
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let binary = match unit.trim().to_ascii_lowercase().as_str() {
            "k" | "m" | "g" | "t" => format!("{}iB", text.trim()),
            _ => text.to_owned(),
        };
        let size: ByteSize = binary.parse().map_err(|_| expected())?;
        Some(Self(size.as_u64()))
            .filter(|size| size.0 >= 1 << 20)
            .ok_or_else(expected)
    }
}

/// Parses a whole number from 1 to 1024.
pub fn parse_positive(text: &str) -> Result<usize, String> {
    parse_up_to(1024, text)
}

/// Parses a whole number that is at least 1.
pub fn parse_count(text: &str) -> Result<usize, String> {
    parse_up_to(u32::MAX as usize, text)
}

fn parse_up_to(most: usize, text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| format!("expected a whole number from 1 to {most}"))
}

/// Parses a number of seconds, a day at most.
pub fn parse_seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..=86_400.0).contains(seconds))
        .ok_or_else(|| "expected a number of seconds from 0.1 to 86400".to_owned())
}

/// Parses the name of a recipe.
pub fn parse_recipe(text: &str) -> Result<Recipe, String> {
    text.trim()
        .parse()
        .map_err(|error| format!("{error}; `classify inspect --recipes` lists all"))
}

/// Parses a number that is finite.
pub fn parse_number<T: FromStr + Into<f64> + Copy>(text: &str) -> Result<T, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|&number: &T| number.into().is_finite())
        .ok_or_else(|| "expected a number, such as 0.5".to_owned())
}

/// Parses a probability.
pub fn parse_score(text: &str) -> Result<f64, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|score: &f64| (0.0..=1.0).contains(score))
        .ok_or_else(|| "expected a probability from 0 to 1, such as 0.5".to_owned())
}

/// Parses a size of an input.
pub fn parse_size(text: &str) -> Result<usize, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|&size| (1..=16_384).contains(&size))
        .ok_or_else(|| "expected sizes from 1 to 16384, such as 1,3,224,224".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let read = |text: &str| text.parse::<MemorySize>().map(|size| size.0);
        assert_eq!(read("512M"), Ok(512 << 20));
        assert_eq!(read("512MiB"), Ok(512 << 20));
        assert_eq!(read("1.5g"), Ok(3 << 29));
        assert_eq!(read("2GB"), Ok(2_000_000_000));
        assert_eq!(read("1073741824"), Ok(1 << 30));
        for wrong in ["", "G", "-1G", "0", "5", "1K", "2 apples", "1G1"] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains("512M") && error.contains(wrong), "{error}");
        }
    }
}
