//! The statements of one source.

use crate::{
    ColorOrder, ImageLayout, ImageSize, InputQuantization, Interpolation, Labels, OutputKind,
    Quantization, Resize, WithOrigin,
};

/// The values that one source states. Every value may be absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SourceSettings {
    /// The order of the channels.
    pub color: Option<WithOrigin<ColorOrder>>,
    /// The mean that is subtracted from pixels of 0–255, in the order of the channels.
    pub mean: Option<WithOrigin<[f32; 3]>>,
    /// The divisor of the difference, in the order of the channels.
    pub scale: Option<WithOrigin<[f32; 3]>>,
    /// The way in which the image gets the size of the input.
    pub resize: Option<WithOrigin<Resize>>,
    /// The resize for one other size of the input, which comes with [`resize`](Self::resize).
    pub resize_at: Option<(ImageSize, WithOrigin<Resize>)>,
    /// True if [`resize`](Self::resize) is valid only for square inputs.
    pub resize_is_for_squares: bool,
    /// The filter of the resize.
    pub interpolation: Option<WithOrigin<Interpolation>>,
    /// The size of the input, for models that leave it open.
    pub size: Option<WithOrigin<ImageSize>>,
    /// The place of the channels, for inputs whose shape does not show it.
    pub layout: Option<WithOrigin<ImageLayout>>,
    /// The names of the classes.
    pub labels: Option<WithOrigin<Labels>>,
    /// Several classes may be right at a time: the scores are not a distribution.
    pub multi_label: Option<WithOrigin<bool>>,
    /// The kind of values that the output holds.
    pub output: Option<WithOrigin<OutputKind>>,
    /// The quantization of an integer output.
    pub quantization: Option<WithOrigin<Quantization>>,
    /// The quantization of an integer input.
    pub input_quantization: Option<WithOrigin<InputQuantization>>,
    /// Keys that were read and have no effect here.
    pub unused: Vec<String>,
    /// Parts of the source that cannot be read and are left out, each as a sentence.
    pub unreadable: Vec<String>,
    /// The sentence about labels that cannot be read and are left out.
    pub unreadable_labels: Option<String>,
}

/// The names of a model and of the program that wrote it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Identity {
    /// The name of the file without its ending, and the name of the graph.
    pub names: Vec<String>,
    /// The program that wrote the model, in lower case; empty if it is unknown.
    pub producer: String,
}
