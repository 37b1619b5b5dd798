//! The choices of a preprocessing, and their notation.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::ImageSize;

/// The channels of the tensor, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum ColorOrder {
    /// Red first, as PyTorch and TensorFlow models take it.
    Rgb,
    /// Blue first, as OpenCV reads images and Caffe models take them.
    Bgr,
    /// The luma of Pillow's `convert("L")` (ITU-R 601-2), from which the image is then resized: torchvision's
    /// `Grayscale`. An input of three channels gets it three times.
    #[cfg_attr(feature = "serde", serde(alias = "gray"))]
    Grey,
}

impl fmt::Display for ColorOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
            Self::Grey => "grey",
        })
    }
}

impl FromStr for ColorOrder {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "rgb" => Ok(Self::Rgb),
            "bgr" => Ok(Self::Bgr),
            "grey" | "gray" => Ok(Self::Grey),
            _ => Err("expected rgb, bgr or grey"),
        }
    }
}

/// The place of the centre if an odd number of pixels is cut away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Centre {
    /// Half of it, rounded to even: torchvision's `CenterCrop`, which timm uses too.
    HalfEven,
    /// Half of it, rounded down: Hugging Face's `center_crop`, Model API's `crop`.
    Floor,
    /// [`Floor`](Self::Floor), but a side that is too short is padded with black, of which the larger half comes
    /// first: Hugging Face's `center_crop` with Pillow.
    PadCeil,
    /// [`Floor`](Self::Floor), but a side that is too short is padded with black, of which the smaller half comes
    /// first: Hugging Face's `center_crop` with torchvision.
    PadFloor,
    /// Half of it, rounded up: `EfficientNet`'s central crop.
    Ceil,
}

impl Centre {
    pub(super) fn offset(self, difference: u32) -> u32 {
        let half = difference / 2;
        match self {
            Self::Ceil => difference.div_ceil(2),
            Self::HalfEven if !difference.is_multiple_of(2) && !half.is_multiple_of(2) => half + 1,
            _ => half,
        }
    }

    /// Returns whether a side that is too short is padded.
    pub(super) fn pads(self) -> bool {
        matches!(self, Self::PadCeil | Self::PadFloor)
    }

    /// Returns the part of `difference` that is padded before the image.
    pub(super) fn padding(self, difference: u32) -> u32 {
        match self {
            Self::PadCeil => difference.div_ceil(2),
            _ => difference / 2,
        }
    }

    /// Returns the word after the size in the notation of a resize.
    const fn word(self) -> &'static str {
        match self {
            Self::HalfEven | Self::Ceil => "",
            Self::Floor => ":floor",
            Self::PadCeil => ":pad-ceil",
            Self::PadFloor => ":pad-floor",
        }
    }
}

/// The crop mode of timm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CropMode {
    /// The image covers the target; the centre is cut out.
    Center,
    /// Both sides get the target's size; the centre is cut out.
    Squash,
    /// The image fits into the target, on a ground of `fill`.
    Border {
        /// The ground: red, green, blue.
        fill: [u8; 3],
    },
}

impl CropMode {
    /// The fractions of a target: its sides are the input's sides divided by the fraction.
    pub const FRACTIONS: RangeInclusive<f64> = 0.1..=4.0;
}

/// The way in which an image gets the size of the model's input.
///
/// [`Display`](fmt::Display) and [`FromStr`] agree on a notation: `stretch`, `crop` or `crop:0.875`,
/// `short:256`, `stretch:256`, `letterbox` or `letterbox:114`, `fit` or `fit:114`, `center:0.95`, `squash:0.95`,
/// `border:0.95:124,116,104`. Two numbers are width and height: `crop:0.5x0.875`, `stretch:320x256`. `crop` with a
/// fraction, `short` and `stretch` with a size take `:floor` after it, the latter two `:pad-ceil` and `:pad-floor`,
/// too. Serialized, a resize is a text in this notation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Resize {
    /// Width and height each to the size of the input; the shape of things is distorted.
    Stretch,
    /// The central part with the input's aspect ratio, `fraction` of the largest such part, is
    /// resized once. For a square input that is a square of ⌊fraction × short side⌋ pixels.
    Crop {
        /// More than 0, at most 1.
        fraction: f64,
        /// The rounding of the centre. The notation has [`Centre::Ceil`] and, as `:floor`, [`Centre::Floor`].
        centre: Centre,
    },
    /// The short side to `short` pixels, the long side to ⌊short × long / side⌋, then the centre is
    /// cut out: torchvision's `Resize` and `CenterCrop`.
    ShortSide {
        /// At least the larger side of the input, unless `centre` pads.
        short: u32,
        /// The rounding of the centre.
        centre: Centre,
    },
    /// A central part of the image, whose sides are fractions of the short side, is resized once: Hugging Face's
    /// Perceiver.
    CropOfShortSide {
        /// More than 0, at most 1.
        width: f64,
        /// More than 0, at most 1.
        height: f64,
        /// The rounding of the centre. The notation has [`Centre::Ceil`] and, as `:floor`, [`Centre::Floor`].
        centre: Centre,
    },
    /// Width and height to `size`, then the centre is cut out: timm's crop mode `squash`.
    StretchThenCrop {
        /// At least the size of the input, unless `centre` pads.
        size: ImageSize,
        /// The rounding of the centre.
        centre: Centre,
    },
    /// timm's transform for evaluation: a resize to the input's size divided by `fraction`, then the centre.
    Timm {
        /// In [`CropMode::FRACTIONS`]. Above 1, the result is padded with black.
        fraction: f64,
        /// The crop mode.
        mode: CropMode,
    },
    /// The largest size that fits, on a ground of `pad`.
    Letterbox {
        /// The value of every channel of the ground.
        pad: u8,
        /// In the centre, or else at the top left.
        centred: bool,
    },
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Stretch => f.write_str("stretch"),
            Self::Crop {
                fraction: 1.0,
                centre: Centre::Ceil,
            } => f.write_str("crop"),
            Self::Crop { fraction, centre } => write!(f, "crop:{fraction}{}", centre.word()),
            Self::ShortSide { short, centre } => write!(f, "short:{short}{}", centre.word()),
            Self::CropOfShortSide {
                width,
                height,
                centre,
            } => write!(f, "crop:{width}x{height}{}", centre.word()),
            Self::StretchThenCrop { size, centre } => {
                write!(f, "stretch:{}", size.width)?;
                if size.width != size.height {
                    write!(f, "x{}", size.height)?;
                }
                f.write_str(centre.word())
            }
            Self::Timm { fraction, mode } => match mode {
                CropMode::Center => write!(f, "center:{fraction}"),
                CropMode::Squash => write!(f, "squash:{fraction}"),
                CropMode::Border { fill: [r, g, b] } => write!(f, "border:{fraction}:{r},{g},{b}"),
            },
            Self::Letterbox { pad, centred } => {
                f.write_str(if centred { "letterbox" } else { "fit" })?;
                if pad == 0 {
                    Ok(())
                } else {
                    write!(f, ":{pad}")
                }
            }
        }
    }
}

impl FromStr for Resize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected stretch, crop, letterbox, fit, short:N such as short:256, \
                                or stretch:N, or center:F, squash:F or border:F:R,G,B with a fraction; crop takes a \
                                fraction such as crop:0.875";
        let mut words = text.split(':');
        let kind = words.next().unwrap_or_default();
        let (first, second) = (words.next(), words.next());
        if let ("center" | "squash" | "border", Some(fraction)) = (kind, first) {
            return timm(kind, fraction, second)
                .filter(|_| words.next().is_none())
                .ok_or(EXPECTED);
        }
        let centre = match second {
            None => Centre::HalfEven,
            Some("floor") => Centre::Floor,
            Some("pad-ceil") if kind != "crop" => Centre::PadCeil,
            Some("pad-floor") if kind != "crop" => Centre::PadFloor,
            Some(_) => return Err(EXPECTED),
        };
        let side_of = |side: &str| side.parse().ok().filter(|side| SIDES.contains(side));
        let side = || first.and_then(side_of);
        let size = || {
            let (width, height) = split(first?);
            side_of(width)
                .zip(side_of(height))
                .map(|(width, height)| ImageSize { width, height })
        };
        let fraction = |text: &str| {
            let fraction = text.parse().ok();
            fraction.filter(|fraction| *fraction > 0.0 && *fraction <= 1.0)
        };
        // Half a pixel of a central part is rounded up or down.
        let of_part = match centre {
            Centre::Floor => centre,
            _ => Centre::Ceil,
        };
        let pad = || first.map_or(Some(0), |pad| pad.parse().ok());
        let resize = match (kind, first) {
            ("stretch", None) => Some(Self::Stretch),
            ("crop", None) => Some(Self::Crop {
                fraction: 1.0,
                centre: Centre::Ceil,
            }),
            ("crop", Some(text)) if text.contains(BY) => {
                let (width, height) = split(text);
                fraction(width)
                    .zip(fraction(height))
                    .map(|(width, height)| Self::CropOfShortSide {
                        width,
                        height,
                        centre: of_part,
                    })
            }
            ("crop", Some(text)) => fraction(text).map(|fraction| Self::Crop {
                fraction,
                centre: of_part,
            }),
            ("short", _) => side().map(|short| Self::ShortSide { short, centre }),
            ("stretch", _) => size().map(|size| Self::StretchThenCrop { size, centre }),
            ("letterbox", _) => pad().map(|pad| Self::Letterbox { pad, centred: true }),
            ("fit", _) => pad().map(|pad| Self::Letterbox {
                pad,
                centred: false,
            }),
            _ => None,
        };
        let takes_centre = matches!(
            resize,
            Some(
                Self::ShortSide { .. }
                    | Self::StretchThenCrop { .. }
                    | Self::Crop { .. }
                    | Self::CropOfShortSide { .. }
            )
        );
        resize
            .filter(|_| words.next().is_none() && (second.is_none() || takes_centre))
            .ok_or(EXPECTED)
    }
}

/// Between width and height.
const BY: char = 'x';

/// Sides in pixels.
const SIDES: RangeInclusive<u32> = 1..=16_384;

/// Returns width and height; one number is both.
fn split(text: &str) -> (&str, &str) {
    text.split_once(BY).unwrap_or((text, text))
}

/// Reads the fraction and the ground of a crop mode.
fn timm(kind: &str, fraction: &str, fill: Option<&str>) -> Option<Resize> {
    let mode = match (kind, fill) {
        ("center", None) => CropMode::Center,
        ("squash", None) => CropMode::Squash,
        ("border", Some(fill)) => {
            let fill: Option<Vec<u8>> = fill.split(',').map(|value| value.parse().ok()).collect();
            let fill = fill?.try_into().ok()?;
            CropMode::Border { fill }
        }
        _ => return None,
    };
    let fraction = fraction.parse().ok();
    let fraction = fraction.filter(|fraction| CropMode::FRACTIONS.contains(fraction))?;
    Some(Resize::Timm { fraction, mode })
}

impl Resize {
    /// Returns the resize in the notation with sizes in pixels, if there is one for an input of `input`.
    pub(crate) fn for_input(self, input: ImageSize) -> Self {
        match self {
            Self::Timm { fraction, mode } => {
                super::timm::for_input(fraction, mode, input).unwrap_or(self)
            }
            _ => self,
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Resize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Resize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;

        let text = <std::borrow::Cow<'_, str> as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The filter that computes pixels when the size changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Interpolation {
    /// Pillow's `NEAREST`.
    Nearest,
    /// Pillow's `BOX`: the mean of the pixels that are covered.
    Box,
    /// Pillow's `BILINEAR`: antialiased when the image shrinks.
    Bilinear,
    /// Pillow's `BICUBIC`: antialiased when the image shrinks.
    Bicubic,
    /// Pillow's `LANCZOS`: antialiased when the image shrinks.
    Lanczos,
    /// OpenCV's `INTER_LINEAR`: two samples in each direction, whatever the scale.
    OpencvLinear,
    /// `NEAREST` of torchvision with tensors.
    TorchvisionNearest,
    /// `NEAREST_EXACT` of torchvision with tensors.
    TorchvisionNearestExact,
    /// `BILINEAR` of torchvision with tensors: antialiased when the image shrinks.
    TorchvisionBilinear,
    /// `BICUBIC` of torchvision with tensors: antialiased when the image shrinks.
    TorchvisionBicubic,
    /// `LANCZOS` of torchvision with tensors: antialiased when the image shrinks.
    TorchvisionLanczos,
    /// `BILINEAR` of torchvision with tensors of floats, which are not rounded to bytes.
    #[cfg_attr(feature = "serde", serde(rename = "torchvision-bilinear-f32"))]
    TorchvisionBilinearF32,
    /// `BICUBIC` of torchvision with tensors of floats, which are not rounded to bytes.
    #[cfg_attr(feature = "serde", serde(rename = "torchvision-bicubic-f32"))]
    TorchvisionBicubicF32,
}

impl Interpolation {
    /// Each of them with its name.
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::Nearest, "nearest"),
        (Self::Box, "box"),
        (Self::Bilinear, "bilinear"),
        (Self::Bicubic, "bicubic"),
        (Self::Lanczos, "lanczos"),
        (Self::OpencvLinear, "opencv-linear"),
        (Self::TorchvisionNearest, "torchvision-nearest"),
        (Self::TorchvisionNearestExact, "torchvision-nearest-exact"),
        (Self::TorchvisionBilinear, "torchvision-bilinear"),
        (Self::TorchvisionBicubic, "torchvision-bicubic"),
        (Self::TorchvisionLanczos, "torchvision-lanczos"),
        (Self::TorchvisionBilinearF32, "torchvision-bilinear-f32"),
        (Self::TorchvisionBicubicF32, "torchvision-bicubic-f32"),
    ];
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(each, _)| each == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Interpolation {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(each, _)| *each)
            .ok_or(
                "expected nearest, box, bilinear, bicubic, lanczos, opencv-linear, torchvision-nearest, \
                 torchvision-nearest-exact, torchvision-bilinear, torchvision-bicubic, torchvision-lanczos, \
                 torchvision-bilinear-f32 or torchvision-bicubic-f32",
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "serde")]
    use crate::Preprocess;

    #[test]
    fn the_centre_is_rounded_as_python_does() {
        let rounded: Vec<u32> = (0..8).map(|n| Centre::HalfEven.offset(n)).collect();
        assert_eq!(rounded, [0, 0, 1, 2, 2, 2, 3, 4]);
        let floored: Vec<u32> = (0..8).map(|n| Centre::Floor.offset(n)).collect();
        assert_eq!(floored, [0, 0, 1, 1, 2, 2, 3, 3]);
        let ceiled: Vec<u32> = (0..8).map(|n| Centre::Ceil.offset(n)).collect();
        assert_eq!(ceiled, [0, 1, 1, 2, 2, 3, 3, 4]);
    }

    #[test]
    fn the_notation_of_a_resize_is_read_as_it_is_written() {
        for text in [
            "stretch",
            "crop",
            "crop:0.875",
            "crop:1:floor",
            "crop:0.5x0.875",
            "crop:1x0.25:floor",
            "short:256",
            "short:256:floor",
            "stretch:256",
            "stretch:248:floor",
            "stretch:320x256",
            "stretch:20x24:pad-ceil",
            "short:20:pad-ceil",
            "stretch:20:pad-floor",
            "letterbox",
            "letterbox:114",
            "fit",
            "fit:255",
            "center:0.95",
            "center:1.15",
            "squash:1",
            "border:0.9:124,116,104",
        ] {
            assert_eq!(text.parse::<Resize>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "squash",
            "center",
            "squash:0.01",
            "border:0.9",
            "border:0.9:1,2",
            "center:0.9:floor",
            "crop:0",
            "crop:1.5",
            "crop:x",
            "crop:0.5:up",
            "crop:0.5x",
            "crop:0.5x1.5",
            "crop:0.5x0.5x0.5",
            "stretch:0x20",
            "stretch:20x",
            "short:20x24",
            "crop:0.5:pad-floor",
            "letterbox:1:pad-floor",
            "short",
            "short:0",
            "short:99999",
            "short:9:up",
            "short:9:floor:1",
            "letterbox:256",
            "letterbox:1:floor",
        ] {
            assert!(text.parse::<Resize>().is_err(), "{text}");
        }
    }

    #[test]
    #[cfg(feature = "serde")]
    fn names_are_serialized_as_they_are_written() {
        for (interpolation, name) in Interpolation::ALL {
            let json = serde_json::to_value(interpolation).unwrap();
            assert_eq!(json, name);
        }
        for color in [ColorOrder::Rgb, ColorOrder::Bgr, ColorOrder::Grey] {
            let json = serde_json::to_value(color).unwrap();
            assert_eq!(json, color.to_string());
            assert_eq!(color.to_string().parse(), Ok(color));
        }
        let preprocess = Preprocess {
            resize: "short:256:floor".parse().unwrap(),
            ..Preprocess::OPENVINO_SAMPLE
        };
        let json = serde_json::to_string(&preprocess).unwrap();
        let expected = r#"{"color":"bgr","mean":[0.0,0.0,0.0],"scale":[1.0,1.0,1.0],"resize":"short:256:floor","interpolation":"opencv-linear"}"#;
        assert_eq!(json, expected);
        assert_eq!(
            serde_json::from_str::<Preprocess>(&json).unwrap(),
            preprocess
        );
        let wrong = json.replace("short:256", "squash");
        let error = serde_json::from_str::<Preprocess>(&wrong).unwrap_err();
        assert!(error.to_string().contains("short:256"), "{error}");
    }
}
