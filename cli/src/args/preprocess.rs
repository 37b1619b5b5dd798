//! The flags of the preprocessing.

use std::path::PathBuf;

use image_classification::{ColorOrder, ImageLayout, Interpolation, Recipe, ResizeOverride};

use super::values::{Decode, Triple, parse_number, parse_recipe};

#[derive(Debug, Default, clap::Args)]
#[command(
    next_help_heading = "Preprocessing (default: from the model and the files next to it; see `classify inspect`)"
)]
pub struct PreprocessArgs {
    /// Preprocessing file: `preprocessor_config.json`, timm's config.json, Open Model Zoo's
    /// model.yml, or the JSON of `classify inspect`; for remote engines also a local model, or a
    /// directory with one
    #[arg(long, value_name = "FILE")]
    pub preprocess: Option<PathBuf>,

    /// Recipe of published weights: `torchvision:resnet50`, `torchvision:resnet50@IMAGENET1K_V1`,
    /// `timm:resnet50.a1_in1k`, `keras:mobilenet_v2`; `classify inspect --recipes` lists them
    #[arg(long, value_name = "NAME", value_parser = parse_recipe, conflicts_with = "preprocess")]
    pub recipe: Option<Recipe>,

    /// Channels that the model takes, in their order: rgb, bgr or grey (Pillow's `L`; the default for models of one
    /// channel)
    #[arg(long, value_name = "ORDER")]
    pub color: Option<ColorOrder>,

    /// Mean of each channel (pixels 0-255), in the order of --color, or one number for all
    #[arg(long, value_name = "N,N,N", allow_hyphen_values = true)]
    pub mean: Option<Triple>,

    /// Divisor of each channel after the mean, in the order of --color, or one number for all
    #[arg(long, value_name = "N,N,N", allow_hyphen_values = true)]
    pub scale: Option<Triple>,

    /// Resize method: stretch; crop or crop:0.875 (the central square, or that part of it); letterbox or letterbox:114
    /// (grey borders); fit (at the top left); short:256 (the short side to 256, then cut out the centre; in
    /// short:256:floor, half a pixel rounds down); stretch:256 (both sides to 256, then cut out the centre)
    #[arg(long, value_name = "HOW")]
    pub resize: Option<ResizeOverride>,

    /// Size of the centre that short:N cuts out; must be the model's input size
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub crop: Option<u32>,

    /// Fraction of the short side that --resize crop keeps
    #[arg(long, value_name = "F", value_parser = parse_number::<f64>, allow_negative_numbers = true)]
    pub crop_fraction: Option<f64>,

    /// Resampling filter: nearest, box, bilinear, bicubic or lanczos as in Pillow; opencv-linear as in OpenCV;
    /// torchvision-nearest, -nearest-exact, -bilinear, -bicubic, -lanczos, -bilinear-f32 or -bicubic-f32 as in
    /// torchvision with tensors
    #[arg(long, value_name = "FILTER")]
    pub interpolation: Option<Interpolation>,

    /// JPEG decoding
    #[arg(long, value_enum, default_value_t = Decode::Exact)]
    pub decode: Decode,

    /// Layout, NCHW or NHWC, if the input's shape does not determine it
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<ImageLayout>,

    /// Names of the classes: one per line, `id name`, a synset file, or JSON [default: MODEL.labels
    /// next to the model, or the model's metadata or config.json]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
}
