//! The values that a caller decides itself.

use std::fmt;
use std::str::FromStr;

use super::ResolveError;
use crate::sources::SourceSettings;
use crate::{
    Centre, ColorOrder, Decode, ImageLayout, ImageSize, Interpolation, Labels, Preprocess, Recipe,
    Resize, ScoreKind, SettingOrigin, WithOrigin,
};

/// The caller's values. They override the values of the model and of the files next to it; each one
/// that is `None` is left to these sources.
///
/// ```
/// use image_classification::{ColorOrder, PreprocessOverrides};
///
/// let overrides = PreprocessOverrides {
///     color: Some(ColorOrder::Rgb),
///     mean: Some([123.675, 116.28, 103.53]),
///     scale: Some([58.395, 57.12, 57.375]),
///     resize: Some("crop:0.875".parse()?),
///     ..PreprocessOverrides::default()
/// };
/// # assert_eq!(overrides.resize.unwrap().to_string(), "crop:0.875");
/// # Ok::<_, &'static str>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PreprocessOverrides {
    /// The order of the channels.
    pub color: Option<ColorOrder>,
    /// The mean that is subtracted from pixels of 0–255, in the order of the channels.
    pub mean: Option<[f32; 3]>,
    /// The divisor of the difference, in the order of the channels.
    pub scale: Option<[f32; 3]>,
    /// The way in which the image gets the size of the input.
    pub resize: Option<ResizeOverride>,
    /// The fraction of [`Resize::Crop`], which `resize` or a source has to state.
    pub crop_fraction: Option<f64>,
    /// The filter of the resize.
    pub interpolation: Option<Interpolation>,
    /// The size of the input, for models that leave it open. The size of other inputs has to be equal.
    pub size: Option<ImageSize>,
    /// The place of the channels, for inputs whose shape does not show it.
    pub layout: Option<ImageLayout>,
    /// The names of the classes. [`read_labels`](crate::sources::read_labels) reads a file of them.
    pub labels: Option<WithOrigin<Labels>>,
    /// A preprocessing file, which comes after the other fields and before the model:
    /// [`read_file`](crate::sources::read_file) reads one.
    pub preprocess: Option<SourceSettings>,
    /// The recipe of the model's weights, instead of a preprocessing file. What the model's graph does itself is left out.
    pub recipe: Option<Recipe>,
    /// The kind of scores.
    pub scores: ScoreKind,
    /// The way in which JPEGs are decoded.
    pub decode: Decode,
}

impl PreprocessOverrides {
    /// Returns whether every value is given that changes pixels.
    pub fn is_complete(&self) -> bool {
        self.recipe.is_some()
            || self.color.is_some()
                && self.mean.is_some()
                && self.scale.is_some()
                && self.resize.is_some()
                && self.interpolation.is_some()
    }

    /// Returns the source that comes after the fields: the recipe or the preprocessing file.
    pub(super) fn stated(&self) -> Result<Vec<SourceSettings>, ResolveError> {
        match (&self.recipe, &self.preprocess) {
            (Some(_), Some(_)) => Err(ResolveError::RecipeAndFile),
            (Some(recipe), None) => Ok(vec![recipe.settings()]),
            (None, file) => Ok(file.iter().cloned().collect()),
        }
    }

    /// Returns the values as a source. `base` holds the values of the other sources: a resize without
    /// parameters takes them from there.
    pub(super) fn settings(&self, base: &Preprocess) -> Result<SourceSettings, ResolveError> {
        let resize = self
            .resize
            .map_or(base.resize, |given| given.or(base.resize));
        let (resize, field) = match self.crop_fraction {
            None => (self.resize.map(|_| resize), "resize"),
            Some(fraction) => {
                if let Some(ResizeOverride::Exact(
                    given @ Resize::Crop {
                        fraction: other, ..
                    },
                )) = self.resize
                    && (other - fraction).abs() > f64::EPSILON
                {
                    return Err(ResolveError::CropFractions { given, fraction });
                }
                let Resize::Crop { centre, .. } = resize else {
                    return Err(ResolveError::CropFractionWithoutCrop);
                };
                (Some(Resize::Crop { fraction, centre }), "crop_fraction")
            }
        };
        Ok(SourceSettings {
            color: given(self.color, "color"),
            mean: given(self.mean, "mean"),
            scale: given(self.scale, "scale"),
            resize: given(resize, field),
            interpolation: given(self.interpolation, "interpolation"),
            size: given(self.size, "size"),
            layout: given(self.layout, "layout"),
            ..SourceSettings::default()
        })
    }
}

fn given<T>(value: Option<T>, field: &'static str) -> Option<WithOrigin<T>> {
    value.map(|value| WithOrigin::new(value, SettingOrigin::Override(field)))
}

/// A resize that a caller decides: completely, or without the parameters that the model may state.
///
/// [`Display`](fmt::Display) and [`FromStr`] agree on the notation of [`Resize`], except that `crop` and `letterbox`
/// mean the variants without parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ResizeOverride {
    /// The resize with its parameters.
    Exact(Resize),
    /// [`Resize::Crop`] with the fraction of the model, or 1.
    Crop,
    /// [`Resize::Letterbox`] in the centre with the padding of the model, or 0.
    Letterbox,
}

impl ResizeOverride {
    /// Completes the resize with the parameters of `base`.
    fn or(self, base: Resize) -> Resize {
        let centred = true;
        match (self, base) {
            (Self::Exact(resize), _) => resize,
            (Self::Crop, Resize::Crop { .. } | Resize::CropOfShortSide { .. })
            | (Self::Letterbox, Resize::Letterbox { centred: true, .. }) => base,
            (Self::Crop, _) => Resize::Crop {
                fraction: 1.0,
                centre: Centre::Ceil,
            },
            (Self::Letterbox, _) => Resize::Letterbox { pad: 0, centred },
        }
    }
}

impl From<Resize> for ResizeOverride {
    fn from(resize: Resize) -> Self {
        Self::Exact(resize)
    }
}

impl fmt::Display for ResizeOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // `crop` alone means another variant.
            Self::Exact(Resize::Crop {
                fraction: 1.0,
                centre: Centre::Ceil,
            }) => f.write_str("crop:1"),
            Self::Exact(Resize::Letterbox {
                pad: 0,
                centred: true,
            }) => f.write_str("letterbox:0"),
            Self::Exact(resize) => resize.fmt(f),
            Self::Crop => f.write_str("crop"),
            Self::Letterbox => f.write_str("letterbox"),
        }
    }
}

impl FromStr for ResizeOverride {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "crop" => Ok(Self::Crop),
            "letterbox" => Ok(Self::Letterbox),
            _ => text.parse().map(Self::Exact),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resize(overrides: &PreprocessOverrides, base: &str) -> Result<String, ResolveError> {
        let base = Preprocess {
            resize: base.parse().unwrap(),
            ..Preprocess::OPENVINO_SAMPLE
        };
        let settings = overrides.settings(&base)?;
        let resize = settings.resize.expect("one is given");
        Ok(format!("{} ({})", resize.value, resize.origin))
    }

    #[test]
    fn a_resize_without_parameters_takes_those_of_the_model() {
        for (given, base, expected) in [
            ("crop", "crop:0.875", "crop:0.875"),
            ("crop:1", "crop:0.875", "crop"),
            ("crop:0.5", "crop:0.875", "crop:0.5"),
            ("crop", "stretch", "crop"),
            ("letterbox", "letterbox:114", "letterbox:114"),
            ("letterbox:0", "letterbox:114", "letterbox"),
            ("letterbox", "fit:114", "letterbox"),
        ] {
            let overrides = PreprocessOverrides {
                resize: Some(given.parse().unwrap()),
                ..PreprocessOverrides::default()
            };
            let found = resize(&overrides, base).unwrap();
            assert_eq!(found, format!("{expected} (`resize`)"), "{given}");
            assert_eq!(overrides.resize.unwrap().to_string(), given);
        }
    }

    #[test]
    fn a_crop_fraction_needs_a_crop() {
        let of = |given: Option<&str>, base| {
            let overrides = PreprocessOverrides {
                resize: given.map(|text| text.parse().unwrap()),
                crop_fraction: Some(0.5),
                ..PreprocessOverrides::default()
            };
            resize(&overrides, base).map_err(|error| error.to_string())
        };
        let fraction = Ok("crop:0.5 (`crop_fraction`)".to_owned());
        assert_eq!(of(None, "crop:0.875"), fraction);
        assert_eq!(of(Some("crop"), "stretch"), fraction);
        assert_eq!(of(Some("crop:0.5"), "stretch"), fraction);
        let error = of(Some("crop:0.9"), "stretch").unwrap_err();
        assert_eq!(error, "`resize` is crop:0.9, but `crop_fraction` is 0.5");
        assert!(of(None, "stretch").is_err());
    }
}
