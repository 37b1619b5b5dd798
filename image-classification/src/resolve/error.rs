//! The reasons why the preprocessing of a model cannot be resolved.

use backend_api::ElementType;
use model_file::Foreign;

use crate::sources::SourceError;
use crate::{ImageLayout, ImageSize, LayoutError, Resize, ScoreKind, SettingOrigin};

/// The reason why the preprocessing of a model cannot be resolved.
///
/// Texts and hints name the fields of [`PreprocessOverrides`](crate::PreprocessOverrides) in backticks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The file of the model is an image.
    #[error("{model} is an image, not a model")]
    ImageAsModel {
        /// The model, as its source is displayed.
        model: String,
    },
    /// The file of the model is something else.
    #[error("{model} is {foreign}")]
    ForeignFile {
        /// The model, as its source is displayed.
        model: String,
        /// The content of the file.
        foreign: Foreign,
    },
    /// A source cannot be used.
    #[error("{model}")]
    Source {
        /// The model that it belongs to, as its source is displayed.
        model: String,
        /// The reason.
        source: SourceError,
    },
    /// A recipe and a preprocessing file are given.
    #[error("`recipe` and `preprocess` both state the preprocessing")]
    RecipeAndFile,
    /// Two fields state different fractions of a crop.
    #[error("`resize` is {given}, but `crop_fraction` is {fraction}")]
    CropFractions {
        /// The given resize.
        given: Resize,
        /// The given fraction.
        fraction: f64,
    },
    /// A crop fraction is given, but the resize is not a crop.
    #[error("`crop_fraction` is given, but the image is not cropped that way")]
    CropFractionWithoutCrop,
    /// The model's input takes no images, or none that are prepared that way.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A source states a layout that the model's input does not have.
    #[error("the layout is {layout} ({origin}), but the model's input {input} is {found}")]
    OtherLayout {
        /// The stated layout.
        layout: ImageLayout,
        /// The source that states it.
        origin: SettingOrigin,
        /// The type and the shape of the input.
        input: String,
        /// The layout of the input.
        found: ImageLayout,
    },
    /// The given size differs from the model's input.
    #[error("`size` is {size}, but the model's input is {input}")]
    Size {
        /// The given size.
        size: ImageSize,
        /// The size of the input.
        input: ImageSize,
    },
    /// A source states a resize that is known for square inputs only.
    #[error(
        "the resize is {resize} ({origin}), which is known for square inputs only, but the model's input is {input}"
    )]
    ResizeOfSquares {
        /// The stated resize.
        resize: Resize,
        /// The source that states it.
        origin: SettingOrigin,
        /// The size of the input.
        input: ImageSize,
    },
    /// A softmax is requested for a multi-label model.
    #[error(
        "{origin} says that several classes may be right at a time, so a softmax would be wrong"
    )]
    SoftmaxOfSeveral {
        /// The source of that.
        origin: SettingOrigin,
    },
    /// Scores are requested from a model that gives class ids only.
    #[error(
        "`scores = {scores}` needs a score for each class, but the model gives class ids without scores ({origin})"
    )]
    ScoresOfClassIds {
        /// The requested kind.
        scores: ScoreKind,
        /// The source that states the class ids.
        origin: SettingOrigin,
    },
    /// The model gives one integer of unknown meaning.
    #[error("the model gives one {element} for an image, and nothing states that it is a class id")]
    SingleInteger {
        /// The type of the integer.
        element: ElementType,
    },
    /// The given labels are not as many as the classes of the model.
    #[error("there are {count} labels in {origin}, but the model has {classes} classes")]
    LabelCount {
        /// The number of labels.
        count: usize,
        /// Their source.
        origin: SettingOrigin,
        /// The number of classes.
        classes: usize,
    },
}

impl ResolveError {
    /// Returns the next step for the user.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::ImageAsModel { .. } => "give the file of a model",
            Self::ForeignFile { foreign, .. } => foreign.hint(),
            Self::Source { source, .. } => source.hint(),
            Self::RecipeAndFile | Self::CropFractions { .. } => "leave one of the two out",
            Self::CropFractionWithoutCrop => "add `resize = crop`",
            Self::Layout(source) => source.hint(),
            Self::OtherLayout { .. } => "leave `layout` out, or give the one of the model's input",
            Self::Size { .. } => "leave `size` out, or give the model's input size",
            Self::ResizeOfSquares { .. } => {
                "give `resize`, for instance `resize = stretch` or `resize = crop:1`"
            }
            Self::SoftmaxOfSeveral { .. } => "use `scores = sigmoid`, or leave `scores` out",
            Self::ScoresOfClassIds { .. } => "leave `scores` out, or use `scores = raw`",
            Self::SingleInteger { .. } => "use `scores = raw` to get it as it is",
            Self::LabelCount { count, classes, .. } if *count + 1 == *classes => {
                "give the labels of this model; if its class 0 is the background, add a first line for it"
            }
            Self::LabelCount { .. } => "give the labels of this model",
        }
    }
}
