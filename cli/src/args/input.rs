//! The flags of the model and the images.

use std::path::PathBuf;

/// The model and the images.
#[derive(Debug, Clone, clap::Args)]
pub struct InputArgs {
    /// Model: OpenVINO IR (.xml with its .bin) or ONNX; OpenVINO also reads TensorFlow (Lite) and Paddle; for a remote
    /// engine, the model's name on the server, NAME or NAME:VERSION [default: the set-up's EfficientNet-Lite0]
    #[arg(short, long, value_name = "FILE")]
    pub model: Option<PathBuf>,

    /// Images (JPEG, PNG, BMP, WebP, GIF, TIFF, PNM, QOI, ICO, TGA, JPEG XL), directories or .tar archives of
    /// them, patterns such as 'photos/*.{jpg,png}', or - for a list on stdin
    #[arg(short, long, value_name = "PATH", required_unless_present = "input_list", num_args = 1..)]
    pub input: Vec<PathBuf>,

    /// File with one image or directory per line, or separated by NUL
    #[arg(long, value_name = "FILE")]
    pub input_list: Vec<PathBuf>,

    /// Recurse into subdirectories
    #[arg(short, long)]
    pub recursive: bool,
}
